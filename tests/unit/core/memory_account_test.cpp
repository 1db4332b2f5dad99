// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/memory_account.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "velostream/core/memory_waiter.hpp"

namespace velostream {
namespace {

struct Waiting final : MemoryWaiter {
    using MemoryWaiter::MemoryWaiter;
    void on_end(Result<MemoryReservation> result) noexcept override { is_granted = result.has_value(); }
    bool is_granted = false;
};

constexpr auto largest_bytes = std::numeric_limits<Bytes>::max();

TEST(MemoryAccount, GrantsExactlyUpToTheLimitAndNotOneByteMore) {
    const MemoryAccount account{"process", 1000};

    const auto all = account.try_reserve(1000);
    const auto more = account.try_reserve(1);

    EXPECT_TRUE(all);
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(account.used(), 1000u);
}

TEST(MemoryAccount, CountsAtEveryLevelAndGrantsOnlyWhatAllLevelsHaveRoomFor) {
    const MemoryAccount process{"process", 1000};
    const auto query = process.child("query", 600);
    const auto sort = query.child("sort");
    const auto join = query.child("join", 400);

    const auto sorted = sort.try_reserve(300);
    const auto refused_by_own_limit = join.try_reserve(401);
    const auto refused_by_query = join.try_reserve(301);
    const auto joined = join.try_reserve(300);
    const auto refused_by_process = process.try_reserve(401);

    EXPECT_TRUE(sorted);
    EXPECT_FALSE(refused_by_own_limit);
    EXPECT_FALSE(refused_by_query);
    EXPECT_TRUE(joined);
    EXPECT_FALSE(refused_by_process);
    EXPECT_EQ(process.used(), 600u);
    EXPECT_EQ(query.used(), 600u);
    EXPECT_EQ(sort.used(), 300u);
    EXPECT_EQ(join.used(), 300u);
}

TEST(MemoryAccount, MayHoldBytesItselfBesideItsChildren) {
    const MemoryAccount process{"process", 1000};
    const auto child = process.child("child");

    const auto own = process.try_reserve(700);
    const auto childs = child.try_reserve(300);

    EXPECT_TRUE(own);
    EXPECT_TRUE(childs);
    EXPECT_EQ(child.used(), 300u);
    EXPECT_EQ(process.used(), 1000u);
    EXPECT_FALSE(child.try_reserve(1));
}

TEST(MemoryAccount, TwoReservationsThatTogetherExceedTheLimitNeverBothSucceed) {
    const MemoryAccount process{"process", 1000};
    const auto first = process.child("first");
    const auto second = process.child("second");

    const auto granted = first.try_reserve(900);
    const auto refused = second.try_reserve(900);

    EXPECT_TRUE(granted);
    EXPECT_FALSE(refused);
}

TEST(MemoryAccount, WithoutALimitRefusesNothingThatExists) {
    const auto account = MemoryAccount::unlimited();

    const auto reserved = account.try_reserve(Bytes{1} << 60);

    EXPECT_TRUE(reserved);
    EXPECT_FALSE(account.limit());
    EXPECT_EQ(account.used(), Bytes{1} << 60);
}

TEST(MemoryAccount, IsSafeForAnySizeOf64Bits) {
    const MemoryAccount limited{"limited", 1000};
    const auto unlimited = MemoryAccount::unlimited();
    const auto held = unlimited.try_reserve(largest_bytes / 2);

    for (const auto bytes : {largest_bytes, largest_bytes - 1, largest_bytes / 2 + 1, largest_bytes / 2}) {
        EXPECT_FALSE(limited.try_reserve(bytes));
        EXPECT_FALSE(unlimited.try_reserve(bytes));
    }

    EXPECT_TRUE(held);
    EXPECT_EQ(limited.used(), 0u);
    EXPECT_EQ(unlimited.used(), largest_bytes / 2);
    EXPECT_TRUE(limited.try_reserve(1000));
}

TEST(MemoryAccount, GrantsNothingToWhoAsksForNothingEvenWhenFull) {
    const MemoryAccount account{"process", 0};

    const auto nothing = account.try_reserve(0);

    ASSERT_TRUE(nothing);
    EXPECT_EQ(nothing->bytes(), 0u);
    EXPECT_FALSE(account.try_reserve(1));
}

TEST(MemoryAccount, TakesTheBytesBackWhenTheReservationEnds) {
    const MemoryAccount account{"process", 1000};
    {
        const auto reserved = account.try_reserve(1000);
        ASSERT_TRUE(reserved);
    }

    EXPECT_EQ(account.used(), 0u);
    EXPECT_TRUE(account.try_reserve(1000));
}

TEST(MemoryAccount, TakesTheBytesBackWhenAnExceptionPasses) {
    const MemoryAccount account{"process", 1000};
    try {
        const auto reserved = account.try_reserve(1000);
        throw std::runtime_error{"the work failed"};
    } catch (const std::runtime_error&) {
    }

    EXPECT_EQ(account.used(), 0u);
}

TEST(MemoryAccount, UsedIsExactAtRestWhateverTheThreadsHaveCached) {
    const MemoryAccount process{"process", 1_GiB};
    const auto child = process.child("child");
    const auto kept = child.try_reserve(12'345);
    for (int round = 0; round < 10'000; ++round) {
        const auto first = child.try_reserve(64);
        const auto second = process.try_reserve(4096);
    }

    EXPECT_EQ(child.used(), 12'345u);
    EXPECT_EQ(process.used(), 12'345u);
    EXPECT_EQ(process.available(), 1_GiB - 12'345);
    EXPECT_FALSE(process.shortage(1_GiB - 12'345));
    EXPECT_EQ(process.shortage(1_GiB)->missing, 12'345u);
}

TEST(MemoryAccount, LendsOneAccountWhatAnotherOnlyCached) {
    const MemoryAccount process{"process", 64_MiB};
    const auto busy = process.child("busy");
    const auto other = process.child("other");
    for (int round = 0; round < 1000; ++round) static_cast<void>(busy.try_reserve(4096).has_value());

    const auto everything = other.try_reserve(64_MiB);

    EXPECT_TRUE(everything);
}

TEST(MemoryAccount, PeakIsTheHighestUseOfAnAccountThatCachesNothing) {
    const MemoryAccount process{"process", 1000};
    const auto child = process.child("child");
    {
        const auto first = child.try_reserve(300);
        const auto second = child.try_reserve(400);
    }
    const auto later = child.try_reserve(100);

    EXPECT_EQ(child.peak(), 700u);
    EXPECT_EQ(process.peak(), 700u);
}

TEST(MemoryAccount, PeakIsNeverBelowTheHighestUseAndNeverAboveTheLimit) {
    const MemoryAccount process{"process", 8_MiB};
    std::vector<MemoryReservation> held;
    for (;;) {
        auto more = process.try_reserve(5000);
        if (!more) break;
        held.push_back(std::move(*more));
        ASSERT_GE(process.peak(), process.used());
    }

    EXPECT_GE(process.peak(), 8_MiB - 5000);
    EXPECT_LE(process.peak(), 8_MiB);
}

TEST(MemoryAccount, CountsRefusalsOfTheAccountThatAsked) {
    const MemoryAccount process{"process", 1000};
    const auto child = process.child("child");
    const auto reserved = process.try_reserve(1000);

    EXPECT_FALSE(child.try_reserve(1));
    EXPECT_FALSE(child.try_reserve(2000));

    EXPECT_EQ(child.refusals(), 2u);
    EXPECT_EQ(process.refusals(), 0u);
}

TEST(MemoryAccount, CountsAlsoTheReservationsThatCouldNotGrow) {
    const MemoryAccount process{"process", 1000};
    const auto child = process.child("child");
    auto reserved = *child.try_reserve(900);

    EXPECT_FALSE(reserved.try_grow(101));
    EXPECT_TRUE(reserved.try_grow(100));
    EXPECT_FALSE(reserved.try_grow(1));

    EXPECT_EQ(child.refusals(), 2u);
    EXPECT_EQ(process.refusals(), 0u);
}

TEST(MemoryAccount, RefusalNamesWhoRefusedTheFiguresTheLargestHoldersAndThatWaitingCouldHelp) {
    const MemoryAccount process{"process", 1000};
    const auto groups = process.child("groups");
    const auto windows = process.child("windows");
    const auto sends = process.child("sends");
    const auto retries = process.child("retries");
    const auto groups_hold = groups.try_reserve(500);
    const auto windows_hold = windows.try_reserve(100);
    const auto retries_hold = retries.try_reserve(300);
    const auto sends_hold = sends.try_reserve(50);

    const auto refused = sends.try_reserve(60);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().detail(),
              "account 'sends' asked for 60 bytes, refused by 'process': used 950 of 1000; "
              "largest: groups 500, retries 300, windows 100; waiting could help");
    EXPECT_EQ(refused.error().type(), ErrorType::resource_exhausted);
    EXPECT_FALSE(refused.error().blames_record());
}

TEST(MemoryAccount, TheLowestLimitIsThatOfTheTightestLevel) {
    const MemoryAccount unlimited{"unlimited"};
    const MemoryAccount process{"process", 100};
    const auto wide = process.child("wide", 1'000), narrow = wide.child("narrow", 50), none = wide.child("none");

    EXPECT_EQ(unlimited.lowest_limit(), std::nullopt);
    EXPECT_EQ(process.lowest_limit(), 100U);
    EXPECT_EQ(wide.lowest_limit(), 100U);
    EXPECT_EQ(narrow.lowest_limit(), 50U);
    EXPECT_EQ(none.lowest_limit(), 100U);

    process.set_limit(10);
    EXPECT_EQ(narrow.lowest_limit(), 10U);
    process.set_limit(std::nullopt);
    EXPECT_EQ(none.lowest_limit(), 1'000U);
}

TEST(MemoryAccount, RefusalOfMoreThanTheLimitSaysThatItCanNeverSucceed) {
    const MemoryAccount process{"process", 1000};
    const auto child = process.child("child", 100);

    const auto refused = child.try_reserve(101);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().detail(),
              "account 'child' asked for 101 bytes: used 0 of 100; can never succeed: more than the limit");
}

TEST(MemoryAccount, LimitMayBeRaisedAndLoweredAtRunTime) {
    const MemoryAccount account{"process", 1000};
    auto reserved = account.try_reserve(1000);
    ASSERT_TRUE(reserved);

    account.set_limit(1500);
    EXPECT_TRUE(account.try_reserve(500));

    account.set_limit(600);
    EXPECT_FALSE(account.try_reserve(1));
    EXPECT_EQ(account.used(), 1000u);
    EXPECT_EQ(account.available(), 0u);

    reserved->shrink(401);
    EXPECT_TRUE(account.try_reserve(1));
    EXPECT_FALSE(account.try_reserve(2));

    account.set_limit(std::nullopt);
    EXPECT_TRUE(account.try_reserve(1_GiB));
}

TEST(MemoryAccount, GrantsNothingFromCachedCreditOnceTheLimitIsBelowWhatIsUsed) {
    const MemoryAccount account{"process", 1_GiB};
    const auto kept = account.try_reserve(1_MiB);
    for (int round = 0; round < 1000; ++round) static_cast<void>(account.try_reserve(64).has_value());

    const auto cached = account.used_at_most() - kept->bytes();
    ASSERT_GT(cached, 0u);

    account.set_limit(1_MiB + cached - 1);
    EXPECT_FALSE(account.try_reserve(cached));

    account.set_limit(1_MiB);
    EXPECT_FALSE(account.try_reserve(1));
}

TEST(MemoryAccount, IsAHandleWhoseCopiesMeanTheSameAccount) {
    const MemoryAccount account{"process", 1000};
    const auto copy = account;
    const auto reserved = copy.try_reserve(400);

    EXPECT_EQ(copy, account);
    EXPECT_NE(copy, account.child("process"));
    EXPECT_EQ(account.used(), 400u);
    EXPECT_EQ(copy.name(), "process");
    EXPECT_EQ(copy.limit(), 1000u);
}

TEST(MemoryAccount, AChildKeepsItsParentsAlive) {
    auto parent = std::make_unique<MemoryAccount>("process", 1000);
    const auto grandchild = parent->child("query", 500).child("operator");
    parent.reset();

    EXPECT_TRUE(grandchild.try_reserve(500));
    EXPECT_FALSE(grandchild.try_reserve(501));
}

TEST(MemoryAccount, ADroppedChildLeavesNothingBehind) {
    const MemoryAccount process{"process", 64_MiB};
    for (int round = 0; round < 1000; ++round) {
        const auto child = process.child("child " + std::to_string(round), 32_MiB);
        for (int inner = 0; inner < 4; ++inner) static_cast<void>(child.try_reserve(4096).has_value());
        ASSERT_EQ(child.used(), 0u);
        ASSERT_LE(child.peak(), 64_KiB);
    }

    EXPECT_EQ(process.used(), 0u);
    EXPECT_TRUE(process.try_reserve(64_MiB));
}

TEST(MemoryAccount, ReservationsOfADroppedAccountStillCountAboveAndComeBack) {
    const MemoryAccount process{"process", 1000};
    auto reserved = process.child("query").child("operator").try_reserve(1000);
    ASSERT_TRUE(reserved);

    const auto next = process.child("next query");
    EXPECT_FALSE(next.try_reserve(1));
    reserved->release();

    EXPECT_EQ(process.used(), 0u);
    EXPECT_TRUE(process.child("a query after that").try_reserve(1000));
}

TEST(MemoryReservation, MayOutliveTheLastHandleOfItsTree) {
    auto reserved = MemoryAccount{"process", 1000}.child("query").try_reserve(1000);
    ASSERT_TRUE(reserved);

    reserved->shrink(1);
    EXPECT_FALSE(reserved->try_grow(2));
    EXPECT_TRUE(reserved->try_grow(1));
}

TEST(MemoryAccount, LimitsHoldThroughAThousandLevelsAndDeeperOnesAreNotMade) {
    auto account = MemoryAccount{"0", 1000};
    const auto root = account;
    for (int level = 1; level <= 1000; ++level) account = account.child(std::to_string(level));

    const auto reserved = account.try_reserve(1000);

    EXPECT_TRUE(reserved);
    EXPECT_EQ(root.used(), 1000u);
    EXPECT_THROW(static_cast<void>(account.child("too deep")), std::length_error);
}

TEST(MemoryAccount, FindsIdleCreditAmongManyAccounts) {
    const MemoryAccount process{"process", 512_MiB};
    std::vector<MemoryAccount> children;
    for (int index = 0; index < 1000; ++index) {
        children.push_back(process.child(std::to_string(index)));
        for (int round = 0; round < 4; ++round) static_cast<void>(children.back().try_reserve(1000).has_value());
    }

    const auto all = process.try_reserve(512_MiB);

    EXPECT_TRUE(all);
    EXPECT_FALSE(children.front().try_reserve(1));
}

TEST(MemoryAccount, BytesTakenByOneThreadMayBeGivenBackByAnother) {
    const MemoryAccount account{"process", 64_MiB};
    for (int round = 0; round < 100; ++round) {
        auto reserved = account.try_reserve(16_MiB);
        ASSERT_TRUE(reserved);
        std::thread{[reservation = std::move(*reserved)]() mutable { reservation.release(); }}.join();
    }

    EXPECT_EQ(account.used(), 0u);
}

TEST(MemoryReservation, IsMoveOnlyAndGivesItsBytesBackOnce) {
    static_assert(!std::is_copy_constructible_v<MemoryReservation>);
    static_assert(std::is_nothrow_move_constructible_v<MemoryReservation>);
    const MemoryAccount account{"process", 1000};
    auto first = *account.try_reserve(600);
    auto second = std::move(first);
    auto third = *account.try_reserve(100);

    EXPECT_EQ(first.bytes(), 0u); // NOLINT(bugprone-use-after-move)
    third = std::move(second);
    EXPECT_EQ(account.used(), 600u);

    first.release();
    second.release(); // NOLINT(bugprone-use-after-move)
    third.release();
    third.release();
    EXPECT_EQ(account.used(), 0u);
}

TEST(MemoryReservation, GrowsAndShrinksInPlace) {
    const MemoryAccount account{"process", 1000};
    auto reserved = *account.try_reserve(100);

    EXPECT_TRUE(reserved.try_grow(900));
    const auto refused = reserved.try_grow(1);
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(reserved.bytes(), 1000u);

    reserved.shrink(400);
    EXPECT_EQ(reserved.bytes(), 600u);
    EXPECT_EQ(account.used(), 600u);

    reserved.shrink(5000);
    EXPECT_EQ(reserved.bytes(), 0u);
    EXPECT_EQ(account.used(), 0u);
}

TEST(MemoryReservation, SplitsAndMergesWithoutChangingWhatIsReserved) {
    const MemoryAccount account{"process", 1000};
    auto whole = *account.try_reserve(1000);

    auto part = whole.split(300);
    EXPECT_EQ(part.bytes(), 300u);
    EXPECT_EQ(whole.bytes(), 700u);
    EXPECT_EQ(account.used(), 1000u);

    part.merge(whole.split(5000));
    EXPECT_EQ(part.bytes(), 1000u);
    EXPECT_EQ(whole.bytes(), 0u);

    part.release();
    EXPECT_EQ(account.used(), 0u);
}

TEST(MemoryAccount, ThatIsMadeWhereAnotherOneWasKnowsNothingOfIt) {
    const MemoryAccount process{"process", 1000};
    {
        const auto before = process.child("before", 100);
        const auto held = before.try_reserve(90);
        EXPECT_FALSE(before.try_reserve(20));
        before.set_overtaking({.most = 10, .most_bytes = 100});
    }

    const auto after = process.child("after", 100);

    EXPECT_EQ(after.peak(), 0u);
    EXPECT_EQ(after.refusals(), 0u);
    EXPECT_EQ(after.limit(), 100u);
    const auto held = after.try_reserve(95);
    const auto first = std::make_shared<Waiting>(after, 50), second = std::make_shared<Waiting>(after, 5);
    EXPECT_FALSE(first->try_now());
    MemoryWaiter::wait(first);
    EXPECT_FALSE(second->try_now());
    MemoryWaiter::wait(second);
    EXPECT_FALSE(second->is_granted) << "overtaking is off";
    MemoryWaiter::leave(first);
    MemoryWaiter::leave(second);
}

TEST(MemoryAccount, CountsARefusedGrowth) {
    const MemoryAccount account{"process", 100};
    auto held = account.try_reserve(60).value();

    EXPECT_FALSE(held.try_grow(50));

    EXPECT_EQ(account.refusals(), 1u);
    EXPECT_EQ(held.bytes(), 60u);
}

} // namespace
} // namespace velostream
