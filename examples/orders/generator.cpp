// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"

#include <algorithm>
#include <array>

namespace orders {

namespace {

constexpr std::uint64_t first_customer = 10'000;
constexpr std::array descriptions{"WHITE METAL LANTERN",       "RED WOOLLY HOTTIE WHITE HEART",
                                  "\"SET 7, BABUSHKA BOXES\"", "\"JUMBO BAG \"\"PINK\"\" POLKADOT\"",
                                  "REGENCY CAKESTAND 3 TIER",  "ALARM CLOCK BAKELIKE GREEN"};
constexpr std::array countries{"United Kingdom", "Germany", "France", "EIRE", "Spain"};

std::string two_digits(std::uint64_t value) {
    auto text = std::to_string(value);
    return value < 10 ? "0" + text : text;
}

} // namespace

OrderGenerator::OrderGenerator(std::uint64_t lines, std::uint64_t customers, std::uint64_t seed)
    : lines_(lines), customers_(customers), random_(seed) {}

// New customers come evenly over the first half of the lines, each with a clean line, so that all of them have appeared
// long before the end; old ones come back, early ones more often.
std::uint64_t OrderGenerator::pick_customer(bool clean) {
    const auto due = made_ >= lines_ / 2 ? customers_ : 1 + (customers_ - 1) * (2 * made_) / lines_;
    if (clean && introduced_ < due) return introduced_++;
    return introduced_ == 0 ? 0 : std::min(below(introduced_), below(introduced_));
}

std::string_view OrderGenerator::next() {
    constexpr std::uint64_t hours_in_a_year = 365 * 24;
    const auto number = made_;
    const auto hour = number * hours_in_a_year / lines_;
    const bool cancelled = one_in(50);
    const bool anonymous = one_in(4);
    const bool no_number = one_in(2'000), no_quantity = one_in(2'000);
    const bool free_of_charge = one_in(250), adjustment = one_in(100'000);
    const bool torn = one_in(5'000);
    const bool clean = !anonymous && !no_number && !no_quantity && !free_of_charge && !adjustment && !torn;

    line_ = (cancelled ? "C" : "") + std::to_string(536'365 + number / 20);
    line_ += ',' + std::to_string(20'000 + below(4'000)) + ',' + descriptions[below(descriptions.size())] + ',';
    if (no_number)
        line_ += "many";
    else if (no_quantity)
        line_ += '0';
    else
        line_ += (cancelled ? "-" : "") + std::to_string(1 + below(24));
    line_ += ",2011-" + two_digits(1 + hour * 12 / hours_in_a_year) + '-' + two_digits(1 + (hour / 24) % 28) + ' ' +
             two_digits(hour % 24) + ":00:00";
    ++made_;
    if (torn) return line_; // its end is missing

    line_ += ',';
    if (free_of_charge)
        line_ += '0';
    else if (adjustment)
        line_ += "-11062.06";
    else
        line_ += std::to_string(below(20)) + '.' + two_digits(1 + below(99));
    line_ += ',';
    if (!anonymous) line_ += std::to_string(first_customer + pick_customer(clean)) + ".0";
    line_ += ',';
    line_ += countries[below(countries.size())];
    return line_;
}

} // namespace orders
