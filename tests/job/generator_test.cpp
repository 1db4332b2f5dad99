// SPDX-License-Identifier: Apache-2.0
#include "generator.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "csv.hpp"
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

} // namespace
} // namespace orders
