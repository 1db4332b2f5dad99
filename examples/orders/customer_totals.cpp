// SPDX-License-Identifier: Apache-2.0
#include "customer_totals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ranges>
#include <utility>

namespace orders {

using velostream::Errc;
using velostream::Error;
using velostream::Result;

namespace {

std::pair<Thousandths, std::string_view> rank(const CustomerTotals::Entry* entry) {
    return {-entry->second.total, entry->first};
}

} // namespace

CustomerTotals::CustomerTotals(velostream::MemoryAccount memory, const velostream::MemoryAccount& groups)
    : memory_(std::move(memory)), groups_account_(groups), groups_(groups.try_reserve(0).value()) {}

Result<const CustomerTotals::Entry*> CustomerTotals::add(const Order& order) {
    const auto refused = [&order](const Error& why) {
        return Error{Errc::group_refused, "customer " + order.customer}.with_inner(why);
    };
    auto found = table_.find(std::string_view{order.customer});
    if (found == table_.end()) {
        if (const auto group = groups_.try_grow(1); !group) return refused(group.error());
        try {
            found = table_.try_emplace(std::pmr::string{order.customer, &memory_}).first;
        } catch (const velostream::MemoryRefusedException& full) {
            groups_.shrink(1);
            return refused(full.error());
        }
    }
    ++found->second.lines;
    found->second.total += order.amount;
    grand_total_ += order.amount;
    return &*found;
}

std::vector<CustomerFigure> CustomerTotals::top(std::size_t count) const {
    std::vector<const Entry*> entries(std::min(count, table_.size()));
    const auto pointers = table_ | std::views::transform([](const Entry& entry) { return &entry; });
    std::ranges::partial_sort_copy(pointers, entries, std::ranges::less{}, rank, rank);
    std::vector<CustomerFigure> top;
    for (const auto* entry : entries)
        top.push_back({std::string{entry->first}, entry->second.lines, entry->second.total});
    return top;
}

void append_json(std::string& text, const CustomerTotals::Entry& entry) {
    const auto& [customer, figures] = entry;
    const bool is_number = customer.find_first_not_of("0123456789") == std::string_view::npos; // as nearly all are
    const auto name =
        is_number
            ? '"' + std::string{customer} + '"'
            : nlohmann::json(std::string_view{customer}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    fmt::format_to(std::back_inserter(text), R"({{"customer":{},"lines":{},"total":"{}"}})", name, figures.lines,
                   to_string(figures.total));
}

} // namespace orders
