// SPDX-License-Identifier: Apache-2.0
#include "input/generator.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "input/csv.hpp"
#include "order_line.hpp"

namespace orders {
namespace {

TEST(OrderGenerator, GivesTheSameLinesForTheSameSeedAndOthersForAnother) {
    const auto lines_of = [](std::uint64_t seed) {
        OrderGenerator generator{500, 20, seed};
        std::string text;
        while (!generator.done()) text.append(generator.next()).push_back('\n');
        return text;
    };
    EXPECT_EQ(lines_of(1), lines_of(1));
    EXPECT_NE(lines_of(1), lines_of(2));
}

TEST(OrderGenerator, GivesTheSameLinesWhateverCompilerMadeIt) {
    OrderGenerator generator{8, 3, 1};

    EXPECT_EQ(generator.next(),
              R"(536365,22848,"JUMBO BAG ""PINK"" POLKADOT",17,2011-01-01 00:00:00,3.48,10000.0,France)");
}

TEST(OrderGenerator, HasEveryCustomerAndEveryKindOfDirt) {
    constexpr std::uint64_t customers = 1'000;
    OrderGenerator generator{40'000, customers, 3};
    std::set<std::string> seen;
    std::map<OrderFault, int> faults;
    int cancellations = 0;
    while (!generator.done()) {
        const auto order = parse_order(generator.next());
        if (!order)
            ++faults[*fault_of(order.error())];
        else
            seen.insert(order->customer);
        if (order && order->amount < 0) ++cancellations;
    }
    EXPECT_EQ(seen.size(), customers);
    EXPECT_NEAR(faults[OrderFault::customer_id], 10'000, 500);
    EXPECT_GT(faults[OrderFault::line], 0);
    EXPECT_GT(faults[OrderFault::quantity], 0);
    EXPECT_GT(faults[OrderFault::unit_price], 0);
    EXPECT_GT(cancellations, 0);
}

/// How many customers have a valid line among the next so many.
std::size_t customers_in(OrderGenerator& generator, std::uint64_t lines) {
    std::set<std::string> seen;
    for (; lines > 0; --lines)
        if (const auto order = parse_order(generator.next())) seen.insert(order->customer);
    return seen.size();
}

TEST(OrderGenerator, HasAsManyCustomersAsAskedForHoweverFewLinesThereAre) {
    for (const std::uint64_t lines : {1U, 2U, 3U, 10U, 57U, 2'000U}) {
        for (std::uint64_t customers = 1; customers <= lines; customers += 1 + lines / 60) {
            OrderGenerator generator{lines, customers, 7};
            EXPECT_EQ(customers_in(generator, lines), customers) << lines << " lines";
            EXPECT_TRUE(generator.done());
        }
        OrderGenerator generator{lines, lines, 7};
        EXPECT_EQ(customers_in(generator, lines), lines);
    }
}

TEST(OrderGenerator, CountsRightlyHoweverManyLinesAreAskedFor) {
    constexpr std::uint64_t very_many = std::uint64_t{1} << 62U;
    OrderGenerator all_new{very_many, very_many, 1}, half_new{very_many, very_many / 2, 1};
    EXPECT_EQ(customers_in(all_new, 1'000), 1'000U);
    EXPECT_NEAR(static_cast<double>(customers_in(half_new, 1'000)), 740, 50); // every clean line
}

} // namespace
} // namespace orders
