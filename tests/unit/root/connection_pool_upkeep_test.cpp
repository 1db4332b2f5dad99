// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "connection_pool_fixture.hpp"
#include "velostream/testing/recording_observer.hpp"

namespace velostream {
namespace {

// Pools that keep connections ready, and look after them.
class ConnectionPoolUpkeepTest : public ConnectionPoolTest {
  protected:
    void pass_in_steps(Duration whole, Duration step) {
        for (Duration passed{}; passed < whole; passed += step) pass(step);
    }
};

TEST_F(ConnectionPoolUpkeepTest, OpensMinIdleBeforeAnybodyAsks) {
    auto config = passive(10);
    config.min_idle = 3;
    make_pool(config);
    run();

    EXPECT_EQ(pool->get_stats().idle, 3u);
    EXPECT_EQ(pool->get_stats().created, 3u);
}

TEST_F(ConnectionPoolUpkeepTest, ByDefaultFiveAreKeptReadyOrAllOfASmallerPool) {
    make_pool(ConnectionPoolConfig{});
    run();
    EXPECT_EQ(pool->get_stats().idle, 5u);

    make_pool(ConnectionPoolConfig{.max_size = 2});
    run();
    EXPECT_EQ(pool->get_stats().idle, 2u);
}

TEST_F(ConnectionPoolUpkeepTest, OpensAnotherForOneThatIsLent) {
    auto config = passive(10);
    config.min_idle = 2;
    make_pool(config);
    run();

    borrow();

    EXPECT_EQ(pool->get_stats().active, 1u);
    EXPECT_EQ(pool->get_stats().idle, 2u);
    borrowers.back()->give_back();
    run();
    EXPECT_EQ(pool->get_stats().idle, 3u);
    EXPECT_EQ(factory.counts().opens, 3u);
}

TEST_F(ConnectionPoolUpkeepTest, OpensNoMoreAtOnceThanTheConnectLimit) {
    auto config = passive(10);
    config.min_idle = 10;
    config.connect_limit = 3;
    factory.delay_opens(10ms);
    make_pool(config);
    run();
    EXPECT_EQ(pool->get_stats().connecting, 3u);

    pass(10ms);
    EXPECT_EQ(pool->get_stats().connecting, 3u);
    EXPECT_EQ(pool->get_stats().idle, 3u);
    pass_in_steps(30ms, 10ms);

    EXPECT_EQ(pool->get_stats().idle, 10u);
}

TEST_F(ConnectionPoolUpkeepTest, ClosesWhatNobodyHasWantedForTheIdleTimeoutButMinIdle) {
    auto config = passive(4);
    config.min_idle = 1;
    config.idle_timeout = 60s;
    make_pool(config);
    run();
    for (int count = 0; count < 4; ++count) borrow();
    for (auto& borrower : borrowers) borrower->give_back();
    run();
    ASSERT_EQ(pool->get_stats().idle, 4u);

    pass(59s);
    EXPECT_EQ(pool->get_stats().idle, 4u);
    pass_in_steps(2s, 100ms);

    EXPECT_EQ(pool->get_stats().idle, 1u);
    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::idle), 3u);
}

TEST_F(ConnectionPoolUpkeepTest, ReplacesAnOldConnectionAndOpensTheNewOneFirst) {
    auto config = passive(2);
    config.min_idle = 1;
    config.max_lifetime = 100s;
    config.max_lifetime_jitter = 0;
    make_pool(config);
    run();

    pass(100s);

    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::lifetime), 1u);
    EXPECT_EQ(pool->get_stats().idle, 1u);
    EXPECT_EQ(factory.counts().most_alive, 2u);
}

TEST_F(ConnectionPoolUpkeepTest, MaxLifetimeJitterMakesItEarlierByUpToSoMuch) {
    auto config = passive(1);
    config.min_idle = 1;
    config.max_lifetime = 100s;
    config.max_lifetime_jitter = 0.5;
    std::vector<Duration> ages;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        make_pool(config, {.seed = seed});
        run();
        const auto begun = time.now();
        while (pool->get_stats().closed_for(PoolClosing::lifetime) == 0) pass(1s);
        ages.push_back(time.now() - begun);
        pool.reset();
        run();
    }
    EXPECT_GE(std::ranges::min(ages), 50s);
    EXPECT_LT(std::ranges::min(ages), 75s);
    EXPECT_GT(std::ranges::max(ages), 75s);
    EXPECT_LE(std::ranges::max(ages), 101s);
}

TEST_F(ConnectionPoolUpkeepTest, NeverCutsAConnectionThatIsLent) {
    auto config = passive(1);
    config.max_lifetime = 100s;
    make_pool(config);
    auto& holder = borrow();

    pass(1000s);
    EXPECT_EQ(factory.counts().closes, 0u);
    holder.give_back();
    run();

    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::lifetime), 1u);
    EXPECT_EQ(factory.counts().resets, 0u);
}

TEST_F(ConnectionPoolUpkeepTest, ChecksWhatIsIdleSoOftenAsKeepaliveSaysAndReplacesWhatHasDied) {
    auto config = passive(2);
    config.min_idle = 1;
    config.keepalive = 30s;
    make_pool(config);
    run();

    pass(30s);
    EXPECT_EQ(factory.counts().checks, 1u);
    factory.fail_next_checks(Errc::operation_failed);
    pass(30s);

    EXPECT_EQ(factory.counts().checks, 2u);
    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::invalid), 1u);
    EXPECT_EQ(pool->get_stats().idle, 1u);
}

TEST_F(ConnectionPoolUpkeepTest, TheValidationWindowSaysWhatIsCheckedBeforeItIsLent) {
    auto config = passive(1);
    config.validation_window = 10s;
    make_pool(config);
    borrow().give_back();
    run();

    pass(10s);
    borrow().give_back();
    run();
    EXPECT_EQ(factory.counts().checks, 0u);
    pass(10001ms);
    borrow();

    EXPECT_EQ(factory.counts().checks, 1u);
}

TEST_F(ConnectionPoolUpkeepTest, ASmallerPoolClosesIdleOnesAtOnceAndLentOnesWhenTheyComeBack) {
    make_pool(4);
    for (int count = 0; count < 4; ++count) borrow();
    borrowers[0]->give_back();
    borrowers[1]->give_back();
    run();

    pool->resize(1);
    run();
    EXPECT_EQ(pool->get_stats().total, 2u);
    EXPECT_EQ(pool->get_stats().max_size, 1u);
    borrowers[2]->give_back();
    run();

    EXPECT_EQ(pool->get_stats().total, 1u);
    EXPECT_EQ(pool->get_stats().closed_for(PoolClosing::shrunk), 3u);
    auto& waiter = borrow();
    EXPECT_FALSE(waiter.answer);
    borrowers[3]->give_back();
    run();
    EXPECT_TRUE(waiter.has_connection());
}

TEST_F(ConnectionPoolUpkeepTest, ALargerPoolConnectsForThoseWhoWait) {
    make_pool(1);
    borrow();
    auto& waiter = borrow();

    pool->resize(2);
    run();

    EXPECT_TRUE(waiter.has_connection());
}

TEST_F(ConnectionPoolUpkeepTest, ASizeThatIsNotLegalIsRefusedAndNothingChanges) {
    auto config = passive(4);
    config.min_idle = 2;
    make_pool(config);

    EXPECT_THROW(pool->resize(0), std::invalid_argument);
    EXPECT_THROW(pool->resize(1), std::invalid_argument); // below `min_idle`
    EXPECT_EQ(pool->get_stats().max_size, 4u);
}

TEST_F(ConnectionPoolUpkeepTest, WarnsOnceOfAConnectionThatIsNotGivenBackAndSaysWhoHasIt) {
    const auto observer = std::make_shared<testing::RecordingObserver>();
    auto config = passive(1);
    config.leak_threshold = 60s;
    make_pool(config, {.name = "orders-db", .observer = observer});
    auto& holder = borrow();
    const auto line = std::source_location::current().line();
    auto next = pool->get_connection(); // two lines further down than the one before

    pass(59s);
    EXPECT_EQ(observer->count("connection_leaked"), 0u);
    pass(1s);
    pass(600s);

    ASSERT_EQ(observer->leaks().size(), 1u);
    EXPECT_EQ(observer->leaks()[0].pool, "orders-db");
    EXPECT_EQ(observer->leaks()[0].lent_for, 60s);
    EXPECT_NE(std::string{observer->leaks()[0].borrowed_at.file_name()}.find("connection_pool_fixture.hpp"),
              std::string::npos);
    EXPECT_EQ(pool->get_stats().leaks, 1u);

    holder.give_back();
    run();
    std::optional<Result<Lease>> second;
    asio::co_spawn(io, std::move(next), [&](std::exception_ptr, Result<Lease> lease) { second = std::move(lease); });
    run();
    pass(60s);

    ASSERT_EQ(observer->leaks().size(), 2u);
    EXPECT_EQ(observer->leaks()[1].borrowed_at.line(), line + 1);
}

TEST_F(ConnectionPoolUpkeepTest, ADetachedConnectionIsTheBorrowersAndCountsNoMore) {
    const MemoryAccount places{"connections", 1};
    make_pool(1, places);
    auto& borrower = borrow();
    auto& waiter = borrow();

    auto own = (*borrower.answer)->detach();
    run();

    EXPECT_EQ(own.number(), 1u);
    EXPECT_FALSE(**borrower.answer);
    EXPECT_TRUE(waiter.has_connection());
    EXPECT_EQ(waiter.number(), 2u);
    EXPECT_EQ(pool->get_stats().detached, 1u);
    EXPECT_EQ(places.used(), 1u);
    EXPECT_EQ(factory.counts().closes, 0u);
}

TEST_F(ConnectionPoolUpkeepTest, EachConnectionIsChargedWhatItNeedsAsLongAsItExists) {
    const MemoryAccount memory{"process", 100'000};
    auto config = passive(3);
    config.connection_memory = 10'000;
    make_pool(config, {.memory = memory});
    auto& first = borrow();
    borrow();
    EXPECT_EQ(memory.used(), 20'000u);

    (*first.answer)->mark_broken();
    first.give_back();
    run();

    EXPECT_EQ(memory.used(), 10'000u);
}

TEST_F(ConnectionPoolUpkeepTest, ABorrowerWaitsForTheMemoryOfAConnectionThatIsNotThereYet) {
    const MemoryAccount memory{"process", 10'000};
    auto config = passive(3);
    config.connection_memory = 6'000;
    make_pool(config, {.memory = memory});
    auto other = *memory.try_reserve(5'000);
    auto& waiter = borrow();
    EXPECT_FALSE(waiter.answer);
    EXPECT_EQ(pool->get_stats().connecting, 0u);

    other.release();
    run();

    ASSERT_TRUE(waiter.has_connection());
    waiter.give_back();
    pool.reset();
    run();
    EXPECT_EQ(memory.used(), 0u);
}

TEST_F(ConnectionPoolUpkeepTest, WhoWaitsWithoutRoomIsToldSoWhenHisTimeIsOver) {
    const MemoryAccount places{"connections", 1};
    const auto taken = *places.try_reserve(1);
    make_pool(2, places);
    auto& waiter = borrow();

    pass(30s);

    EXPECT_EQ(waiter.error(), Errc::pool_timeout);
    const auto detail = std::string{waiter.error().detail()};
    EXPECT_NE(detail.find("no room for another connection beside those of other pools"), std::string::npos) << detail;
    EXPECT_EQ(factory.counts().opens, 0u);
}

TEST_F(ConnectionPoolUpkeepTest, MemoryThatAConnectionCanNeverHaveIsAFailedConnect) {
    const MemoryAccount memory{"process", 1'000};
    auto config = passive(1);
    config.connection_memory = 2'000;
    make_pool(config, {.memory = memory});

    auto& borrower = borrow();

    EXPECT_EQ(borrower.error(), Errc::connect_failed);
    ASSERT_NE(borrower.error().inner(), nullptr);
    EXPECT_EQ(*borrower.error().inner(), Errc::memory_limit_exceeded);
}

TEST_F(ConnectionPoolUpkeepTest, MinIdleIsReachedWhenThereIsRoomForIt) {
    const MemoryAccount places{"connections", 1};
    auto taken = *places.try_reserve(1);
    auto config = passive(2);
    config.min_idle = 1;
    make_pool(config, {.places = places});
    run();
    EXPECT_EQ(pool->get_stats().total, 0u);

    taken.release();
    pass(1s);

    EXPECT_EQ(pool->get_stats().idle, 1u);
}

} // namespace
} // namespace velostream
