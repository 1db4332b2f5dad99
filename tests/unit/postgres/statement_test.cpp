// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/statement.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace velostream::postgres {
namespace {

using namespace std::chrono_literals;
using Time = std::chrono::system_clock::time_point;

std::string text_of(const Parameters& parameters, std::size_t index = 0) {
    const auto sent = parameters[index];
    EXPECT_NE(sent.bytes, nullptr);
    EXPECT_FALSE(sent.is_binary);
    EXPECT_EQ(sent.bytes[sent.size], '\0') << "libpq measures a text by its end";
    return {sent.bytes, sent.size};
}

TEST(Parameters, NumbersAreTextsThatGiveTheSameValueAgain) {
    EXPECT_EQ(text_of(Parameters{std::int16_t{-7}}), "-7");
    EXPECT_EQ(text_of(Parameters{std::numeric_limits<std::int64_t>::min()}), "-9223372036854775808");
    EXPECT_EQ(text_of(Parameters{4'000'000'000U}), "4000000000");
    EXPECT_EQ(text_of(Parameters{0.1}), "0.1");
    EXPECT_EQ(text_of(Parameters{0.1F}), "0.1");
    EXPECT_EQ(std::stod(text_of(Parameters{1.0 / 3})), 1.0 / 3);
    EXPECT_EQ(text_of(Parameters{std::numeric_limits<double>::infinity()}), "Infinity");
    EXPECT_EQ(text_of(Parameters{-std::numeric_limits<float>::infinity()}), "-Infinity");
    EXPECT_EQ(text_of(Parameters{std::numeric_limits<double>::quiet_NaN()}), "NaN");
}

TEST(Parameters, BooleansAndTextsAreWhatTheyAre) {
    const Parameters parameters{true, false, "literal", std::string{"string"}, std::string_view{"view"}, ""};
    ASSERT_EQ(parameters.size(), 6u);
    EXPECT_EQ(text_of(parameters, 0), "t");
    EXPECT_EQ(text_of(parameters, 1), "f");
    EXPECT_EQ(text_of(parameters, 2), "literal");
    EXPECT_EQ(text_of(parameters, 3), "string");
    EXPECT_EQ(text_of(parameters, 4), "view");
    EXPECT_EQ(text_of(parameters, 5), "");
}

TEST(Parameters, BytesAreBinaryAndKeepTheirNuls) {
    const std::string bytes{"a\0b", 3};
    const Parameters parameters{std::as_bytes(std::span{bytes})};
    const auto sent = parameters[0];
    EXPECT_TRUE(sent.is_binary);
    EXPECT_EQ(std::string(sent.bytes, sent.size), bytes);
    EXPECT_FALSE(parameters.invalid());
}

TEST(Parameters, NullIsNoEmptyTextNorEmptyBytes) {
    const Parameters parameters{std::nullopt, std::optional<int>{}, std::optional<int>{3},
                                std::span<const std::byte>{}};
    EXPECT_EQ(parameters[0].bytes, nullptr);
    EXPECT_EQ(parameters[1].bytes, nullptr);
    EXPECT_EQ(text_of(parameters, 2), "3");
    EXPECT_NE(parameters[3].bytes, nullptr);
    EXPECT_EQ(parameters[3].size, 0u);
}

TEST(Parameters, TimesAreInUtcToTheMicrosecondCutOff) {
    EXPECT_EQ(text_of(Parameters{Time{}}), "1970-01-01 00:00:00.000000+00");
    EXPECT_EQ(text_of(Parameters{Time{1'700'000'000'123'456'789ns}}), "2023-11-14 22:13:20.123456+00");
    EXPECT_EQ(text_of(Parameters{Time{-1ns}}), "1969-12-31 23:59:59.999999+00");
}

TEST(Parameters, TheFirstTextWithANulMakesThemInvalid) {
    const Parameters parameters{1, std::string_view{"a\0", 2}, std::string_view{"\0", 1}};
    EXPECT_EQ(parameters.invalid(), 1u);
}

TEST(Statement, KeepsCopiesOfItsValues) {
    std::string value{"before"};
    const Statement statement{"select $1", value};
    value = "after";
    EXPECT_EQ(text_of(statement.parameters()), "before");
    EXPECT_EQ(statement.sql(), "select $1");
}

} // namespace
} // namespace velostream::postgres
