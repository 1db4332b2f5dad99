// SPDX-License-Identifier: Apache-2.0
#include "customer_totals.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ranges>
#include <utility>

namespace orders {

using velostream::Bytes;
using velostream::Errc;
using velostream::Error;
using velostream::Result;

namespace {

// What malloc takes for a block of `size` bytes; large ones may be whole pages.
constexpr Bytes heap_size(std::size_t size) {
    constexpr Bytes header = 16, small_header = 8, smallest = 32, large = 128 * 1024;
    constexpr Bytes page = 4096, granule = 16;
    if (size >= large) return (size + header + page - 1) / page * page;
    return std::max(smallest, (size + small_header + granule - 1) / granule * granule);
}

Bytes entry_size(const std::string& customer) {
    struct Node { // as the table's own: next, entry, hash
        void* next;
        alignas(CustomerTotals::Entry) std::byte entry[sizeof(CustomerTotals::Entry)];
        std::size_t hash;
    };
    constexpr auto node = heap_size(sizeof(Node));
    const bool inside = customer.size() <= std::string{}.capacity();
    return inside ? node : node + heap_size(customer.size() + 1);
}

std::pair<Thousandths, std::string_view> rank(const CustomerTotals::Entry* entry) {
    return {-entry->second.total, entry->first};
}

Bytes buckets_size(std::size_t buckets) {
    return heap_size(buckets * sizeof(void*));
}

} // namespace

CustomerTotals::CustomerTotals(velostream::MemoryAccount memory, std::size_t max_groups)
    : account_(std::move(memory)), memory_(account_.try_reserve(buckets_size(1)).value()), max_groups_(max_groups) {}

// While the table is rehashed, the old and the new buckets exist side by side.
Result<void> CustomerTotals::make_room_for(const std::string& customer) {
    if (table_.size() >= max_groups_)
        return Error{Errc::group_refused,
                     "customer " + customer + ": " + std::to_string(max_groups_) + " groups are held"};
    const auto refused = [&customer](const Error& why) {
        return Error{Errc::group_refused, "customer " + customer}.with_inner(why);
    };
    if (table_.size() + 1 > table_.bucket_count()) {
        const auto old_buckets = table_.bucket_count();
        const auto more = std::bit_ceil(2 * old_buckets + 1);
        // The table rounds up to a prime; twice the number is beyond any of its steps.
        if (const auto grown = memory_.try_grow(buckets_size(2 * more)); !grown) return refused(grown.error());
        table_.rehash(more);
        memory_.shrink(buckets_size(2 * more) + buckets_size(old_buckets) - buckets_size(table_.bucket_count()));
    }
    if (const auto grown = memory_.try_grow(entry_size(customer)); !grown) return refused(grown.error());
    return {};
}

Result<const CustomerTotals::Entry*> CustomerTotals::add(Order&& order) {
    auto found = table_.find(order.customer);
    if (found == table_.end()) {
        if (const auto room = make_room_for(order.customer); !room) return room.error();
        found = table_.try_emplace(std::move(order.customer)).first;
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
    for (const auto* entry : entries) top.push_back({entry->first, entry->second.lines, entry->second.total});
    return top;
}

void append_json(std::string& text, const CustomerTotals::Entry& entry) {
    const auto& [customer, figures] = entry;
    const bool is_number = customer.find_first_not_of("0123456789") == std::string::npos; // as nearly all are
    const auto name = is_number
                          ? '"' + customer + '"'
                          : nlohmann::json(customer).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    fmt::format_to(std::back_inserter(text), R"({{"customer":{},"lines":{},"total":"{}"}})", name, figures.lines,
                   to_string(figures.total));
}

} // namespace orders
