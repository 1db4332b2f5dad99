// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/budget_unit.hpp"

#include <gtest/gtest.h>

#include <string>

#include "velostream/core/joint_reservation.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {
namespace {

struct UnitCase {
    BudgetUnit unit;
    Errc code;
    std::string one, several;
};

const UnitCase cases[]{
    {BudgetUnit::bytes, Errc::memory_limit_exceeded, "1 byte", "2 bytes"},
    {BudgetUnit::disk_bytes, Errc::disk_quota_exceeded, "1 disk byte", "2 disk bytes"},
    {BudgetUnit::records, Errc::window_buffer_full, "1 record", "2 records"},
    {BudgetUnit::groups, Errc::group_refused, "1 group", "2 groups"},
    {BudgetUnit::connections, Errc::pool_exhausted, "1 connection", "2 connections"},
    {BudgetUnit::queries, Errc::admission_refused, "1 query", "2 queries"},
};

TEST(BudgetUnit, IsWhatARefusalSpeaksOf) {
    for (const auto& [unit, code, one, several] : cases) {
        const MemoryAccount process{"process", unit, 10};
        const auto account = process.child("query");
        const auto all = account.try_reserve(10);

        const auto refused_one = account.try_reserve(1), refused_two = process.try_reserve(2);

        ASSERT_FALSE(refused_one || refused_two) << one;
        EXPECT_EQ(account.unit(), unit);
        EXPECT_EQ(refused_one.error(), code);
        EXPECT_EQ(refused_one.error().type(), ErrorType::resource_exhausted);
        EXPECT_EQ(refused_one.error().detail(), "account 'query' asked for " + one +
                                                    ", refused by 'process': used 10 of 10; largest: query 10; "
                                                    "waiting could help");
        EXPECT_EQ(refused_two.error().detail(),
                  "account 'process' asked for " + several + ": used 10 of 10; largest: query 10; waiting could help");
    }
}

TEST(BudgetUnit, IsWhatEveryKindOfRefusalSpeaksOf) {
    const MemoryAccount groups{"groups", BudgetUnit::groups, 10};
    auto most = *groups.try_reserve(9);

    EXPECT_EQ(most.try_grow(2).error(), Errc::group_refused);
    EXPECT_EQ(try_reserve_all({{groups, 1}, {groups, 1}}).error(), Errc::group_refused);
    EXPECT_EQ(most.try_transfer(groups.child("query", 1)).error(), Errc::group_refused);
}

TEST(BudgetUnit, OfAnAccountIsBytesUnlessSomethingElseIsSaid) {
    EXPECT_EQ(MemoryAccount{}.unit(), BudgetUnit::bytes);
    EXPECT_EQ((MemoryAccount{"process", 1000}.unit()), BudgetUnit::bytes);
}

} // namespace
} // namespace velostream
