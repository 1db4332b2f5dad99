// SPDX-License-Identifier: Apache-2.0
#include "program/options.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace orders {
namespace {

using namespace std::chrono_literals;

TEST(ParseLookup, TakesADatabaseAndHowToGetThere) {
    EXPECT_FALSE(parse_lookup("sqlite")->postgres);
    EXPECT_EQ(parse_lookup("postgres:host=db dbname=shop")->postgres, "host=db dbname=shop");
    EXPECT_EQ(parse_lookup("postgres://orders@db/shop")->postgres, "postgres://orders@db/shop");
    EXPECT_EQ(parse_lookup("postgres:")->postgres, "") << "all of it comes from the environment";
    for (const auto* text : {"", "mysql", "sqlite:", "sqlite ", "SQLite", "postgres"})
        EXPECT_FALSE(parse_lookup(text)) << text;
}

TEST(ParseOutage, TakesPerCentOrLinesAndALength) {
    const auto percent = parse_outage("40%+3s");
    ASSERT_TRUE(percent);
    EXPECT_TRUE(percent->at_percent);
    EXPECT_EQ(percent->at, 40U);
    EXPECT_EQ(percent->length, 3s);

    const auto lines = parse_outage("200000+500ms");
    ASSERT_TRUE(lines);
    EXPECT_FALSE(lines->at_percent);
    EXPECT_EQ(lines->at, 200'000U);
    EXPECT_EQ(lines->length, 500ms);
}

TEST(ParseOutage, RefusesEverythingElse) {
    for (const auto* text : {"", "40%", "+3s", "40%+", "101%+3s", "x%+3s", "40%+3", "40%+3m", "40%+0s", "-1+3s",
                             "40%+-3s", "40%+3s ", "40%+99999999999s", "40%+3s+2s"})
        EXPECT_FALSE(parse_outage(text)) << text;
}

std::uint64_t customers_of(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "orders_pipeline");
    return parse_options(static_cast<int>(arguments.size()), arguments.data(), "").options.customers;
}

int exit_code_of(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "orders_pipeline");
    return parse_options(static_cast<int>(arguments.size()), arguments.data(), "").exit_code.value_or(0);
}

TEST(ParseOptions, TakesBrokersWithAndWithoutPorts) {
    for (const auto* text : {"kafka", "127.0.0.1:9092", "a:1,b:65535", "[::1]:9092", "[::1]", "a,b:9092"})
        EXPECT_EQ(exit_code_of({"--brokers", text}), 0) << text;
    for (const auto* text : {"", ",", "a:1,", "a:0", "a:65536", "127.0.0.1:99999", "a:", "a:b", "a: 1", ":9092",
                             "a b:1", "::1:9092", "::1", "x://h:1", "[]:1", "[::1:1", "::1]", "[[::1]]"})
        EXPECT_EQ(exit_code_of({"--brokers", text}), 2) << text;
}

TEST(ParseOptions, LeavesRoomForDirtUnlessCustomersAreAskedFor) {
    EXPECT_EQ(customers_of({"--generate", "1"}), 1U);
    EXPECT_EQ(customers_of({"--generate", "4000"}), 800U);
    EXPECT_EQ(customers_of({"--generate", "20000"}), 4'000U);
    EXPECT_EQ(customers_of({"--generate", "1000000"}), 4'000U);
    EXPECT_EQ(customers_of({"--generate", "10", "--customers", "10"}), 10U);
}

} // namespace
} // namespace orders
