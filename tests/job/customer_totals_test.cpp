// SPDX-License-Identifier: Apache-2.0
#include "customer_totals.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdint>
#include <limits>
#include <memory_resource>
#include <nlohmann/json.hpp>
#include <string>

namespace orders {
namespace {

using velostream::Errc;
using velostream::MemoryAccount;

const MemoryAccount groups{"groups", velostream::BudgetUnit::groups};

TEST(CustomerTotals, AddUpPerCustomerAndOverAll) {
    MemoryAccount memory{"state"};
    CustomerTotals totals{memory, groups};
    ASSERT_TRUE(totals.add({"7", 1'500}));
    ASSERT_TRUE(totals.add({"8", 9'000}));
    const auto entry = totals.add({"7", -500});

    ASSERT_TRUE(entry);
    EXPECT_EQ((*entry)->second.lines, 2U);
    EXPECT_EQ((*entry)->second.total, 1'000);
    EXPECT_EQ(totals.customers(), 2U);
    EXPECT_EQ(totals.grand_total(), 10'000);
}

TEST(CustomerTotals, AddUpPerSegmentAsTheCustomersAreThen) {
    MemoryAccount memory{"state"};
    CustomerTotals totals{memory, groups};
    ASSERT_TRUE(totals.add({"7", 1'000}, "retail"));
    ASSERT_TRUE(totals.add({"8", 3'000}, "retail"));
    const auto entry = totals.add({"7", 5'000}, "wholesale");
    ASSERT_TRUE(totals.add({"9", 9'000}));

    const auto segments = totals.top_segments(5);

    ASSERT_EQ(segments.size(), 2U);
    EXPECT_EQ(segments[0].segment, "wholesale");
    EXPECT_EQ(segments[0].total, 5'000);
    EXPECT_EQ(segments[1].lines, 2U);
    EXPECT_EQ(segments[1].total, 4'000);
    std::string json;
    append_json(json, **entry);
    EXPECT_EQ(json, R"({"customer":"7","segment":"wholesale","lines":2,"total":"6.00"})");
    EXPECT_EQ(totals.top_segments(1).size(), 1U);
}

TEST(CustomerTotals, RefuseACustomerWhoseSegmentHasNoRoom) {
    MemoryAccount memory{"state", 4 * 1024};
    CustomerTotals totals{memory, groups};
    ASSERT_TRUE(totals.add({"7", 1'000}, "retail"));

    const auto refused = totals.add({"8", 1'000}, std::string(8 * 1024, 's'));

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::group_refused);
    EXPECT_EQ(totals.customers(), 1U);
    EXPECT_EQ(totals.grand_total(), 1'000);
    EXPECT_TRUE(totals.add({"7", 1'000}, "retail")) << "the others go on";
}

TEST(CustomerTotals, AreExactForTheLargestQuantitiesAndPricesInAnyNumberOfLines) {
    MemoryAccount memory{"state"};
    CustomerTotals totals{memory, groups};
    const auto largest = Thousandths{std::numeric_limits<std::int64_t>::max()};
    for (int line = 0; line < 3; ++line) ASSERT_TRUE(totals.add({"7", largest * largest}));
    ASSERT_TRUE(totals.add({"8", -largest * largest}));

    EXPECT_EQ(to_string(totals.top(1).front().total), "255211775190703847542190723352697503.747");
    EXPECT_EQ(totals.grand_total(), 2 * largest * largest);
}

TEST(CustomerTotals, ShowTheHighestFirstAndTiesByName) {
    MemoryAccount memory{"state"};
    CustomerTotals totals{memory, groups};
    for (const auto& [customer, amount] : {std::pair{"b", 5}, {"a", 5}, {"c", 9}, {"d", -1}})
        ASSERT_TRUE(totals.add({customer, amount}));
    const auto top = totals.top(3);
    ASSERT_EQ(top.size(), 3U);
    EXPECT_EQ(top[0].customer + top[1].customer + top[2].customer, "cab");
    EXPECT_EQ(totals.top(100).size(), 4U);
}

TEST(CustomerTotals, RefuseANewCustomerWithoutRoomAndGoOnWithTheOthers) {
    constexpr velostream::Bytes limit = 64 * 1024;
    MemoryAccount memory{"state", limit};
    CustomerTotals totals{memory, groups};
    std::size_t customers = 0;
    while (totals.add({std::to_string(customers), 1})) ++customers;

    const auto refused = totals.add({"new", 1});
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error() == Errc::group_refused);
    EXPECT_EQ(refused.error().type(), velostream::ErrorType::resource_exhausted);
    EXPECT_TRUE(refused.error().blames_record());
    EXPECT_TRUE(totals.add({"0", 1}));
    EXPECT_EQ(totals.customers(), customers);
    EXPECT_EQ(groups.used(), customers) << "who was refused is no group";
    EXPECT_GT(customers, 300U);
    EXPECT_LE(memory.peak(), limit);
}

TEST(CustomerTotals, RefuseMoreGroupsThanAllowed) {
    MemoryAccount memory{"state"};
    const MemoryAccount two{"groups", velostream::BudgetUnit::groups, 2};
    {
        CustomerTotals totals{memory, two};
        EXPECT_TRUE(totals.add({"1", 1}));
        EXPECT_TRUE(totals.add({"2", 1}));
        EXPECT_TRUE(totals.add({"1", 1}));
        const auto refused = totals.add({"3", 1});
        ASSERT_FALSE(refused);
        EXPECT_TRUE(refused.error() == Errc::group_refused);
        EXPECT_TRUE(refused.error().blames_record());
        EXPECT_NE(refused.error().message().find("customer 3 (new group refused: account 'groups' asked for 1 group: "
                                                 "used 2 of 2"),
                  std::string::npos)
            << refused.error().message();
        EXPECT_EQ(two.used(), 2U);
    }
    EXPECT_EQ(two.used(), 0U);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(CustomerTotals, ChargeAtLeastWhatTheyTakeFromTheHeapAndLittleMore) {
    MemoryAccount memory{"state"};
    CustomerTotals totals{memory, groups};
    const auto before = mallinfo2();
    for (int customer = 0; customer < 50'000; ++customer)
        ASSERT_TRUE(totals.add({"a customer with a long name " + std::to_string(customer), 1}));
    const auto after = mallinfo2();
    const auto taken = (after.uordblks + after.hblkhd) - (before.uordblks + before.hblkhd);

    constexpr std::size_t of_the_test_itself = 4'096;
    EXPECT_GE(memory.used() + of_the_test_itself, taken);
    EXPECT_LE(memory.used(), taken + taken / 10);
}
#endif

TEST(CustomerTotals, GiveEverythingBack) {
    MemoryAccount memory{"state"};
    {
        CustomerTotals totals{memory, groups};
        for (int customer = 0; customer < 1'000; ++customer) ASSERT_TRUE(totals.add({std::to_string(customer), 1}));
        EXPECT_GT(memory.used(), 1'000U * 64);
    }
    EXPECT_EQ(memory.used(), 0U);
}

TEST(AppendJson, IsValidForEveryName) {
    for (const std::string name : {"17850", "with \"quotes\"", "umlaut ü", "bad \xFF byte", "line\nend"}) {
        std::string text;
        append_json(text, {std::pmr::string{name}, CustomerTotal{{.lines = 12, .total = 54'210}}});
        const auto value = nlohmann::json::parse(text);
        EXPECT_EQ(value["lines"], 12);
        EXPECT_EQ(value["total"], "54.21");
        const bool is_utf8 = name.find('\xFF') == std::string::npos;
        EXPECT_EQ(value["customer"], is_utf8 ? name : "bad \xEF\xBF\xBD byte");
    }
}

} // namespace
} // namespace orders
