// SPDX-License-Identifier: Apache-2.0
#include "input/decimal.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace orders {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// The digits of a decimal number and where its point stands, before anything is computed.
struct Digits {
    std::string_view whole, fraction;
    std::int64_t exponent = 0;
    bool negative = false;
};

std::optional<Digits> split(std::string_view text) {
    Digits digits;
    if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
        digits.negative = text.front() == '-';
        text.remove_prefix(1);
    }
    const auto take_digits = [&text] {
        const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
        const auto taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
        text.remove_prefix(taken.size());
        return taken;
    };
    digits.whole = take_digits();
    if (!text.empty() && text.front() == '.') {
        text.remove_prefix(1);
        digits.fraction = take_digits();
    }
    if (digits.whole.empty() && digits.fraction.empty()) return std::nullopt;
    if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
        text.remove_prefix(1);
        const auto exponent = parse_integer(text);
        constexpr std::int64_t largest = 1'000; // beyond it the value is zero thousandths or does not fit
        if (!exponent || text != trim(text)) return std::nullopt;
        digits.exponent = std::clamp(*exponent, -largest, largest);
        text = {};
    }
    if (!text.empty()) return std::nullopt;
    return digits;
}

} // namespace

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
    const auto digits = split(trim(text));
    if (!digits) return std::nullopt;
    Thousandths value = 0;
    bool is_zero = true;
    auto places = static_cast<std::int64_t>(digits->whole.size()) + digits->exponent + 3; // digits kept
    const auto append = [&](char digit) {
        is_zero = is_zero && digit == '0';
        if (places-- > 0) value = value * 10 + (digit - '0');
        return value <= std::numeric_limits<std::int64_t>::max();
    };
    for (const auto part : {digits->whole, digits->fraction})
        if (!std::ranges::all_of(part, append)) return std::nullopt;
    while (places > 0 && !is_zero)
        if (!append('0')) return std::nullopt;
    const auto thousandths = static_cast<std::int64_t>(value);
    if (is_zero) return Price{0, 0};
    return digits->negative ? Price{-thousandths, -1} : Price{thousandths, 1};
}

std::string to_string(Thousandths amount) {
    char buffer[48];
    auto* const end = buffer + sizeof buffer;
    auto* begin = end;
    const bool negative = amount < 0;
    __extension__ using Magnitude = unsigned __int128;
    auto rest = static_cast<Magnitude>(amount);
    if (negative) rest = -rest;
    const auto next_digit = [&rest] {
        // A division of 128 bits costs more than all the rest of this function.
        const auto small = static_cast<std::uint64_t>(rest);
        const auto digit = small == rest ? small % 10 : static_cast<std::uint64_t>(rest % 10);
        rest = small == rest ? small / 10 : rest / 10;
        return static_cast<char>('0' + digit);
    };
    const auto push = [&begin](char c) { *--begin = c; };
    if (const auto third = next_digit(); third != '0') push(third);
    push(next_digit());
    push(next_digit());
    push('.');
    do push(next_digit());
    while (rest != 0);
    if (negative) push('-');
    return {begin, end};
}

} // namespace orders
