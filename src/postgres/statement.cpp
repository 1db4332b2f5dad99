// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/statement.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace velostream::postgres {

namespace {

template <class Number>
std::string_view written(std::array<char, 32>& place, Number value) {
    const auto end = std::to_chars(place.data(), place.data() + place.size(), value).ptr;
    return {place.data(), end};
}

template <class Number>
std::string_view written_float(std::array<char, 32>& place, Number value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return written(place, value);
}

} // namespace

void Parameters::add(std::nullopt_t) {
    places_.push_back({bytes_.size(), 0, true, false});
}

void Parameters::add(std::string_view text) {
    if (!invalid_ && text.find('\0') != std::string_view::npos) invalid_ = places_.size();
    append(text, false);
}

void Parameters::add(std::span<const std::byte> bytes) {
    append({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, true);
}

void Parameters::add(std::chrono::system_clock::time_point time) {
    using namespace std::chrono;
    const auto at = floor<microseconds>(time);
    const auto day = floor<days>(at);
    const year_month_day date{day};
    const hh_mm_ss clock{at - day};
    std::array<char, 64> text{};
    // The clock of the machine knows the years 1677 to 2262.
    const int size =
        std::snprintf(text.data(), text.size(), "%04d-%02u-%02u %02d:%02d:%02d.%06d+00", static_cast<int>(date.year()),
                      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                      static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
    append({text.data(), static_cast<std::size_t>(size)}, false);
}

void Parameters::add(double value) {
    std::array<char, 32> place{};
    append(written_float(place, value), false);
}

void Parameters::add(float value) {
    std::array<char, 32> place{};
    append(written_float(place, value), false);
}

void Parameters::add_integer(std::int64_t value) {
    std::array<char, 32> place{};
    append(written(place, value), false);
}

void Parameters::append(std::string_view bytes, bool is_binary) {
    constexpr std::size_t most = 1U << 30U; // of a value, for the server
    if (!invalid_ && bytes.size() > most) invalid_ = places_.size();
    places_.push_back({bytes_.size(), bytes.size(), false, is_binary});
    bytes_.append(bytes).push_back('\0');
}

Parameters::Sent Parameters::operator[](std::size_t index) const noexcept {
    const auto& place = places_[index];
    return {place.is_null ? nullptr : bytes_.data() + place.at, place.size, place.is_binary};
}

} // namespace velostream::postgres
