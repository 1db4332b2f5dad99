// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "decimal.hpp"
#include "velostream/base/result.hpp"

namespace orders {

inline constexpr std::string_view header_line =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

/// What can be wrong with a line: the first bad column, in this order.
enum class OrderFault { line = 1, customer_id, quantity, unit_price };

/// The word for reports: `line`, `CustomerID`, `Quantity`, `UnitPrice`.
std::string_view to_string(OrderFault fault);

/// Faults are error codes whose type is `bad_request`: the record itself is to blame.
boost::system::error_code make_error_code(OrderFault fault);

/// The fault behind an error; nothing if it is another kind of error.
std::optional<OrderFault> fault_of(const velostream::Error& error);

struct Order {
    std::string customer;
    Thousandths amount; ///< quantity × unit price; negative for a cancellation
};

/// Reads one order line, or says which column keeps it from being one and what stands there.
velostream::Result<Order> parse_order(std::string_view line);

/// The customer of a line, for the record's key; empty if there is none or the line does not parse.
std::string customer_of(std::string_view line);

} // namespace orders
