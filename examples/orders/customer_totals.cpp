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

/// The entries of a table with the highest totals, ties by name.
template <class Table>
std::vector<const typename Table::value_type*> highest(const Table& table, std::size_t count) {
    using Entry = const typename Table::value_type*;
    const auto rank = [](Entry entry) {
        return std::pair<Thousandths, std::string_view>{-entry->second.total, entry->first};
    };
    std::vector<Entry> entries(std::min(count, table.size()));
    const auto pointers = table | std::views::transform([](const auto& entry) { return &entry; });
    std::ranges::partial_sort_copy(pointers, entries, std::ranges::less{}, rank, rank);
    return entries;
}

std::string as_json(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

CustomerTotals::CustomerTotals(velostream::MemoryAccount memory, const velostream::MemoryAccount& groups)
    : memory_(std::move(memory)), groups_account_(groups), groups_(groups.try_reserve(0).value()) {}

Result<const CustomerTotals::Entry*> CustomerTotals::add(const Order& order, std::optional<std::string_view> segment) {
    const auto refused = [&order](const Error& why) {
        return Error{Errc::group_refused, "customer " + order.customer}.with_inner(why);
    };
    SegmentTable::value_type* of_segment = nullptr;
    if (segment) {
        auto known = segments_.find(*segment);
        if (known == segments_.end()) {
            try {
                known = segments_.try_emplace(std::pmr::string{*segment, &memory_}).first;
            } catch (const velostream::MemoryRefusedException& full) {
                return refused(full.error());
            }
        }
        of_segment = &*known;
    }
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
    found->second.add(order.amount);
    found->second.segment = of_segment;
    if (of_segment) of_segment->second.add(order.amount);
    grand_total_ += order.amount;
    return &*found;
}

std::vector<CustomerFigure> CustomerTotals::top(std::size_t count) const {
    std::vector<CustomerFigure> top;
    for (const auto* entry : highest(table_, count))
        top.push_back({std::string{entry->first}, entry->second.lines, entry->second.total});
    return top;
}

std::vector<SegmentFigure> CustomerTotals::top_segments(std::size_t count) const {
    std::vector<SegmentFigure> top;
    for (const auto* entry : highest(segments_, count))
        top.push_back({std::string{entry->first}, entry->second.lines, entry->second.total});
    return top;
}

void append_json(std::string& text, const CustomerTotals::Entry& entry) {
    const auto& [customer, figures] = entry;
    const bool is_number = customer.find_first_not_of("0123456789") == std::string_view::npos; // as nearly all are
    const auto name = is_number ? '"' + std::string{customer} + '"' : as_json(customer);
    const auto segment = figures.segment ? R"("segment":)" + as_json(figures.segment->first) + ',' : std::string{};
    fmt::format_to(std::back_inserter(text), R"({{"customer":{},{}"lines":{},"total":"{}"}})", name, segment,
                   figures.lines, to_string(figures.total));
}

} // namespace orders
