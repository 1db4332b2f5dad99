// SPDX-License-Identifier: Apache-2.0
#include "order_line.hpp"

#include <fmt/format.h>

#include <utility>

#include "accounting/figures.hpp"
#include "input/csv.hpp"
#include "velostream/base/error_type.hpp"

namespace orders {

namespace {

enum Column : std::size_t { quantity_column = 3, unit_price_column = 5, customer_id_column = 6 };

class OrderFaultCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "orders"; }
    std::string message(int value) const override {
        return "bad order line (" + std::string{to_string(static_cast<OrderFault>(value))} + ")";
    }
    boost::system::error_condition default_error_condition(int) const noexcept override {
        return velostream::ErrorType::bad_request;
    }
};

const OrderFaultCategory order_fault_category;

velostream::Error fault(OrderFault fault, std::string_view value, std::string_view rule) {
    constexpr std::size_t most_shown = 1'000;
    return {make_error_code(fault), fmt::format("{} is \"{}{}\": {}", to_string(fault), value.substr(0, most_shown),
                                                value.size() > most_shown ? "..." : "", rule)};
}

std::string_view customer_in(const RecordFields& fields) {
    auto customer = trim(fields[customer_id_column]);
    if (customer.ends_with(".0")) customer.remove_suffix(2);
    return customer;
}

} // namespace

std::string_view to_string(OrderFault fault) {
    return dead_reason_words.at(static_cast<std::size_t>(fault) - 1);
}

boost::system::error_code make_error_code(OrderFault fault) {
    return {static_cast<int>(fault), order_fault_category};
}

std::optional<OrderFault> fault_of(const velostream::Error& error) {
    if (error.code().category() != order_fault_category) return std::nullopt;
    return static_cast<OrderFault>(error.code().value());
}

velostream::Error at_line(std::uint64_t line, const velostream::Error& error) {
    auto where = "order line " + std::to_string(line + 1);
    if (!error.detail().empty()) where.append(", ").append(error.detail());
    return error.with_detail(std::move(where));
}

velostream::Result<Order> parse_order(std::string_view line) {
    const RecordFields fields{line};
    if (fields.count() != RecordFields::capacity)
        return fault(OrderFault::line, line, "must have 8 fields, not " + std::to_string(fields.count()));
    if (trim(fields[customer_id_column]).empty())
        return fault(OrderFault::customer_id, fields[customer_id_column], "must not be empty");
    const auto customer = customer_in(fields);
    if (customer.size() > longest_customer)
        return fault(OrderFault::customer_id, customer,
                     "must not be longer than " + std::to_string(longest_customer) + " bytes");
    const auto quantity = parse_integer(fields[quantity_column]);
    if (!quantity || *quantity == 0)
        return fault(OrderFault::quantity, fields[quantity_column],
                     "must be a whole number other than 0, within 64 bits");
    const auto price = parse_price(fields[unit_price_column]);
    if (!price || price->sign <= 0)
        return fault(OrderFault::unit_price, fields[unit_price_column],
                     "must be a number above 0, below 9223372036854775.808");
    return Order{std::string{customer}, Thousandths{*quantity} * price->thousandths};
}

std::string customer_of(std::string_view line) {
    const RecordFields fields{line};
    if (fields.count() != RecordFields::capacity) return {};
    const auto customer = customer_in(fields);
    return std::string{customer.size() > longest_customer ? std::string_view{} : customer};
}

} // namespace orders
