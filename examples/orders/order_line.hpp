// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "input/decimal.hpp"
#include "velostream/base/result.hpp"

namespace orders {

inline constexpr std::string_view header_line =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

/// The longest customer, in bytes. Kafka's clients take records of a million bytes at most: the longest line with such
/// a key, its dead letter with all headers, and the total as JSON, which may need six bytes for one, stay below that.
inline constexpr std::size_t longest_customer = 64 * 1024;

/// What can be wrong with a line: the first bad column, in this order.
enum class OrderFault { line = 1, customer_id, quantity, unit_price };

/// The word for reports: `line`, `CustomerID`, `Quantity`, `UnitPrice`.
std::string_view to_string(OrderFault fault);

/// Faults are error codes whose type is `bad_request`: the record itself is to blame.
boost::system::error_code make_error_code(OrderFault fault);

/// The fault behind an error; nothing if it is another kind of error.
std::optional<OrderFault> fault_of(const velostream::Error& error);

/// `error`, naming the order line with this number from 0. People count from 1, without the header.
velostream::Error at_line(std::uint64_t line, const velostream::Error& error);

struct Order {
    std::string customer;
    Thousandths amount; ///< quantity × unit price; negative for a cancellation
};

/// Reads one order line, or says which column keeps it from being one and what stands there.
velostream::Result<Order> parse_order(std::string_view line);

/// The customer of a line, for the record's key; empty if there is none, it is too long, or the line does not parse.
std::string customer_of(std::string_view line);

} // namespace orders
