// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace orders {

/// An exact amount of money in thousandths. A 64-bit quantity times a 64-bit price takes 127 bits, and 2^64 lines of
/// them 191.
using Thousandths = boost::multiprecision::int256_t;

/// A price as written. `thousandths` is cut towards zero where more than three decimals are given; `sign` is exact.
struct Price {
    std::int64_t thousandths;
    int sign; ///< −1, 0 or 1
};

/// Reads `2.55`, `.5`, `+7`, `1e2`, with white space around it; nothing for anything else, or for what does not fit.
std::optional<Price> parse_price(std::string_view text);

/// Reads a whole number with an optional sign and white space around it; nothing for anything else.
std::optional<std::int64_t> parse_integer(std::string_view text);

/// `12.345`, `12.34`, `-0.50`: exact, at least two decimals, a third where it is not zero.
std::string to_string(const Thousandths& amount);

/// Without white space at both ends.
std::string_view trim(std::string_view text);

} // namespace orders
