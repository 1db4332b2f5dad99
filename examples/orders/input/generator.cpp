// SPDX-License-Identifier: Apache-2.0
#include "input/generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace orders {

namespace {

constexpr std::uint64_t first_customer = 10'000;
constexpr std::array descriptions{"WHITE METAL LANTERN",       "RED WOOLLY HOTTIE WHITE HEART",
                                  "\"SET 7, BABUSHKA BOXES\"", "\"JUMBO BAG \"\"PINK\"\" POLKADOT\"",
                                  "REGENCY CAKESTAND 3 TIER",  "ALARM CLOCK BAKELIKE GREEN"};
constexpr std::array countries{"United Kingdom", "Germany", "France", "EIRE", "Spain"};

} // namespace

OrderGenerator::OrderGenerator(std::uint64_t lines, std::uint64_t customers, std::uint64_t seed)
    : lines_(lines), customers_(customers), random_(seed) {}

// Evenly over the first half of the lines, so that all of them have appeared long before the end.
std::uint64_t OrderGenerator::customers_due() const {
    if (made_ >= lines_ / 2) return customers_;
    __extension__ using Wide = unsigned __int128;
    return 1 + static_cast<std::uint64_t>(Wide{customers_ - 1} * (2 * made_) / lines_);
}

// Old customers come back, early ones more often.
std::uint64_t OrderGenerator::pick_customer(bool clean, bool new_one) {
    if (new_one || (clean && introduced_ < customers_ && introduced_ < customers_due())) return introduced_++;
    return introduced_ == 0 ? 0 : std::min(below(introduced_), below(introduced_));
}

std::string_view OrderGenerator::next() {
    constexpr std::uint64_t hours_in_a_year = 365 * 24;
    const auto number = made_;
    const auto hour = number * hours_in_a_year / lines_;
    const bool all_for_new_customers = customers_ - introduced_ >= lines_ - number;
    const bool cancelled = one_in(50);
    const auto spoilt = [this, all_for_new_customers](std::uint64_t odds) {
        return one_in(odds) && !all_for_new_customers;
    };
    const bool anonymous = spoilt(4);
    const bool no_number = spoilt(2'000), no_quantity = spoilt(2'000);
    const bool free_of_charge = spoilt(250), adjustment = spoilt(100'000);
    const bool torn = spoilt(5'000);
    const bool clean = !anonymous && !no_number && !no_quantity && !free_of_charge && !adjustment && !torn;

    // One random number a statement: their order must not be the compiler's.
    const auto* const description = descriptions[below(descriptions.size())];
    const auto stock = 20'000 + below(4'000);
    auto quantity = std::string{no_number ? "many" : "0"};
    if (!no_number && !no_quantity) quantity = (cancelled ? "-" : "") + std::to_string(1 + below(24));
    line_ = fmt::format("{}{},{},{},{},2011-{:02}-{:02} {:02}:00:00", cancelled ? "C" : "", 536'365 + number / 20,
                        stock, description, quantity, 1 + hour * 12 / hours_in_a_year, 1 + (hour / 24) % 28, hour % 24);
    ++made_;
    if (torn) return line_; // its end is missing

    auto price = std::string{free_of_charge ? "0" : "-11062.06"};
    if (!free_of_charge && !adjustment) {
        const auto pence = 1 + below(99);
        price = fmt::format("{}.{:02}", below(20), pence);
    }
    line_ += ',' + price;
    line_ += ',';
    if (!anonymous) line_ += std::to_string(first_customer + pick_customer(clean, all_for_new_customers)) + ".0";
    line_ += ',';
    line_ += countries[below(countries.size())];
    return line_;
}

} // namespace orders
