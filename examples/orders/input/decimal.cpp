// SPDX-License-Identifier: Apache-2.0
#include "input/decimal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace orders {

std::string_view trim(std::string_view text) {
    constexpr std::string_view space = " \t\n\r\f\v";
    const auto begin = text.find_first_not_of(space);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
    text = trim(text);
    if (text.starts_with('+')) {
        text.remove_prefix(1);
        if (text.starts_with('-')) return std::nullopt;
    }
    std::int64_t value = 0;
    const auto* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
    return value;
}

std::optional<Price> parse_price(std::string_view text) {
    text = trim(text);
    const bool is_negative = text.starts_with('-');
    if (is_negative || text.starts_with('+')) text.remove_prefix(1);

    const auto mantissa = text.substr(0, text.find_first_of("eE"));
    const auto point = std::min(mantissa.find('.'), mantissa.size());
    std::string digits{mantissa.substr(0, point)};
    if (point < mantissa.size()) digits += mantissa.substr(point + 1);
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;

    auto kept = static_cast<std::int64_t>(point) + 3; // digits, up to the third decimal
    if (mantissa.size() < text.size()) {
        text.remove_prefix(mantissa.size() + 1);
        const auto exponent = parse_integer(text);
        if (!exponent || text != trim(text)) return std::nullopt;
        // Beyond it the value is zero thousandths or does not fit.
        const auto largest = static_cast<std::int64_t>(digits.size()) + 1'000;
        kept += std::clamp(*exponent, -largest, largest);
    }
    if (digits.find_first_not_of('0') == std::string::npos) return Price{0, 0};
    digits.resize(static_cast<std::size_t>(std::max<std::int64_t>(kept, 0)), '0');
    const auto thousandths = digits.empty() ? std::optional<std::int64_t>{0} : parse_integer(digits);
    if (!thousandths) return std::nullopt;
    return is_negative ? Price{-*thousandths, -1} : Price{*thousandths, 1};
}

std::string to_string(const Thousandths& amount) {
    const Thousandths magnitude = abs(amount);
    const bool is_usual = magnitude <= std::numeric_limits<std::int64_t>::max();
    const auto whole =
        is_usual ? fmt::format("{}", static_cast<std::int64_t>(magnitude) / 1000) : Thousandths{magnitude / 1000}.str();
    const auto fraction = static_cast<int>(magnitude % 1000);
    auto text = fmt::format("{}{}.{:02}", amount < 0 ? "-" : "", whole, fraction / 10);
    if (const int third = fraction % 10; third != 0) text += static_cast<char>('0' + third);
    return text;
}

} // namespace orders
