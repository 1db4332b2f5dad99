// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "accounting/figures.hpp"
#include "order_line.hpp"
#include "velostream/base/result.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/core/memory_account.hpp"

namespace orders {

/// What one customer, or all of a segment, bought.
struct Bought {
    std::uint64_t lines = 0;
    Thousandths total = 0;

    void add(const Thousandths& amount) {
        ++lines;
        total += amount;
    }
};

using SegmentTable = std::pmr::map<std::pmr::string, Bought, std::less<>>;

struct CustomerTotal : Bought {
    const SegmentTable::value_type* segment = nullptr; ///< null where none is known
};

/// The totals of all customers, each of which is a group, in memory that is charged to an account; where one of both
/// has no room a new customer is refused and the others go on.
class CustomerTotals {
  public:
    /// Finds customers by any kind of string.
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view customer) const noexcept {
            return std::hash<std::string_view>{}(customer);
        }
    };
    using Table = std::pmr::unordered_map<std::pmr::string, CustomerTotal, Hash, std::equal_to<>>;
    using Entry = Table::value_type;

    CustomerTotals(velostream::MemoryAccount memory, const velostream::MemoryAccount& groups);

    /// Adds an order to its customer, who is of this segment from now on, and to that; gives the customer's entry,
    /// which stays where it is.
    /// Errors: `Errc::group_refused` for a new customer or segment without room; the record is to blame, not a
    ///         dependency.
    velostream::Result<const Entry*> add(const Order& order, std::optional<std::string_view> segment = std::nullopt);

    std::size_t customers() const { return table_.size(); }
    const Thousandths& grand_total() const { return grand_total_; }
    /// The customers with the highest totals, ties by name.
    std::vector<CustomerFigure> top(std::size_t count) const;
    std::vector<SegmentFigure> top_segments(std::size_t count) const;

  private:
    velostream::AccountedResource memory_;
    Table table_{&memory_};
    SegmentTable segments_{&memory_};
    velostream::MemoryAccount groups_account_;
    velostream::MemoryReservation groups_; // one for each customer
    Thousandths grand_total_ = 0;
};

/// The record value of a total: `{"customer":"17850","lines":12,"total":"54.21"}`, with `"segment":"retail",` behind
/// the customer where that is known.
void append_json(std::string& text, const CustomerTotals::Entry& entry);

} // namespace orders
