// SPDX-License-Identifier: Apache-2.0
#include "input/decimal.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace orders {
namespace {

std::string price(std::string_view text) {
    const auto parsed = parse_price(text);
    if (!parsed) return "none";
    return std::to_string(parsed->thousandths) + "/" + std::to_string(parsed->sign);
}

TEST(ParsePrice, IsExactInThousandths) {
    EXPECT_EQ(price("2.55"), "2550/1");
    EXPECT_EQ(price("0.001"), "1/1");
    EXPECT_EQ(price(" 38970.0 "), "38970000/1");
    EXPECT_EQ(price("+7"), "7000/1");
    EXPECT_EQ(price("-11062.06"), "-11062060/-1");
    EXPECT_EQ(price(".5"), "500/1");
    EXPECT_EQ(price("5."), "5000/1");
    EXPECT_EQ(price("0"), "0/0");
    EXPECT_EQ(price("-0.000"), "0/0");
    EXPECT_EQ(price("1e2"), "100000/1");
    EXPECT_EQ(price("125E-1"), "12500/1");
}

TEST(ParsePrice, CutsWhatIsSmallerThanAThousandthButKeepsItsSign) {
    EXPECT_EQ(price("1.2349"), "1234/1");
    EXPECT_EQ(price("0.0001"), "0/1");
    EXPECT_EQ(price("-0.0009"), "0/-1");
    EXPECT_EQ(price("1e-900"), "0/1");
}

TEST(ParsePrice, RefusesWhatIsNoNumberOrDoesNotFit) {
    for (const auto* text : {"", " ", "abc", "1,5", "1.2.3", "--1", "+-1", "1e", "e5", ".", "NaN", "Infinity", "0x10",
                             "1 2", "1e 5", "9223372036854775.808", "1e900"})
        EXPECT_EQ(price(text), "none") << text;
    EXPECT_EQ(price("9223372036854775.807"), "9223372036854775807/1");
}

TEST(ParseInteger, TakesSignsAndWhiteSpaceAndNothingElse) {
    EXPECT_EQ(parse_integer("12"), 12);
    EXPECT_EQ(parse_integer(" -3\t"), -3);
    EXPECT_EQ(parse_integer("+4"), 4);
    EXPECT_EQ(parse_integer("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
    for (const auto* text : {"", " ", "+", "-", "+-1", "1.0", "1x", "0x1", "9223372036854775808", "1 2"})
        EXPECT_EQ(parse_integer(text), std::nullopt) << text;
}

TEST(ToString, ShowsTwoDecimalsAndAThirdWhereItCounts) {
    EXPECT_EQ(to_string(Thousandths{0}), "0.00");
    EXPECT_EQ(to_string(Thousandths{5}), "0.005");
    EXPECT_EQ(to_string(Thousandths{-50}), "-0.05");
    EXPECT_EQ(to_string(Thousandths{12'340}), "12.34");
    EXPECT_EQ(to_string(Thousandths{-8'911'407'904}), "-8911407.904");
    EXPECT_EQ(to_string(Thousandths{std::numeric_limits<std::int64_t>::max()} * 1'000'000'000'000),
              "9223372036854775807000000000.00");
    EXPECT_EQ(to_string(Thousandths{std::numeric_limits<std::int64_t>::max()} + 1), "9223372036854775.808");
    EXPECT_EQ(to_string(-(Thousandths{1} << 190) - 1), "-1569275433846670190958947355801916604025588861116008628.225");
}

} // namespace
} // namespace orders
