// SPDX-License-Identifier: Apache-2.0
// Connections that are lent again as they came back, without the lock of the pool, are lent by the same rules.
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <memory>
#include <optional>
#include <source_location>
#include <utility>

#include "connection_pool_fixture.hpp"
#include "velostream/async_reserve.hpp"
#include "velostream/testing/recording_observer.hpp"

namespace velostream {
namespace {

// What it opens needs no reset.
struct CleanConnections : ScriptedConnections {
    explicit CleanConnections(const ScriptedConnections& script) : ScriptedConnections(script) {}
    bool needs_reset(const Connection&) const noexcept { return false; }
};

// Counts how often a mutex of any pool is locked.
struct CountedLocks : SharedMemory {
    struct Mutex {
        void lock() noexcept { ++locks; }
        void unlock() noexcept {}
    };
    static inline int locks = 0;
};

using CleanPool = ConnectionPool<CleanConnections, ManualTime, CountedLocks>;

class WarmConnectionTest : public ConnectionPoolTest {
  protected:
    void make_clean_pool(std::size_t max_size) { make_clean_pool(passive(max_size)); }
    void make_clean_pool(const ConnectionPoolConfig& config, ConnectionPoolOptions options = {}) {
        clean.emplace(io.get_executor(), config, CleanConnections{factory}, std::move(options), time);
    }
    Borrower& borrow() { return ConnectionPoolTest::borrow(*clean); }
    /// Opens one, which is given back.
    void open_one() {
        borrow().give_back();
        run();
    }
    /// Takes one that is ready, uses it, and gives it back.
    void use_one() {
        auto lease = clean->try_get_connection();
        ASSERT_TRUE(lease);
        static_cast<void>(**lease);
    }
    void use_one_without_a_lock() {
        const int before = CountedLocks::locks;
        use_one();
        EXPECT_EQ(CountedLocks::locks, before);
    }

    std::optional<CleanPool> clean;
};

TEST_F(WarmConnectionTest, BorrowAndReturnTakeNoLockWhereNobodyWaits) {
    make_clean_pool(2);
    open_one();

    for (int count = 0; count < 100; ++count) use_one_without_a_lock();

    EXPECT_EQ(clean->get_stats().lent_at_once, 100u);
    EXPECT_EQ(factory.counts().opens, 1u);
}

TEST_F(WarmConnectionTest, OneThatNobodyUsedGoesBackWithoutALockThoughItsFactoryResetsConnections) {
    using ResetPool = ConnectionPool<ScriptedConnections, ManualTime, CountedLocks>;
    ResetPool resets{io.get_executor(), passive(1), factory, {}, time};
    ConnectionPoolTest::borrow(resets).answer->value().give_back();
    const int before = CountedLocks::locks;

    EXPECT_TRUE(resets.try_get_connection());
    EXPECT_TRUE(resets.try_get_connection());

    EXPECT_EQ(CountedLocks::locks, before);
}

TEST_F(WarmConnectionTest, TheStatisticsKnowOfEveryLoan) {
    make_clean_pool(2);
    open_one();
    EXPECT_EQ(clean->get_stats().idle, 1u);
    EXPECT_EQ(clean->get_stats().active, 0u);
    EXPECT_EQ(clean->get_stats().lent_waited, 1u);

    auto lease = clean->try_get_connection();
    EXPECT_EQ(clean->get_stats().idle, 0u);
    EXPECT_EQ(clean->get_stats().active, 1u);
    EXPECT_EQ(clean->get_stats().lent_at_once, 1u);

    lease->mark_broken();
    lease.reset();
    run();
    EXPECT_EQ(clean->get_stats().total, 0u);
    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::broken), 1u);
    EXPECT_EQ(clean->get_stats().lent_at_once, 1u) << "though the connection has gone";
}

TEST_F(WarmConnectionTest, OneThatIsDetachedTakesItsLoansAlong) {
    make_clean_pool(1);
    open_one();
    use_one();

    const auto own = clean->try_get_connection()->detach();

    EXPECT_EQ(own.number(), 1u);
    EXPECT_EQ(clean->get_stats().lent_at_once, 2u);
    EXPECT_EQ(clean->get_stats().detached, 1u);
    EXPECT_EQ(clean->get_stats().total, 0u);
}

TEST_F(WarmConnectionTest, TheOneThatCameBackLastIsLentFirst) {
    make_clean_pool(3);
    for (int count = 0; count < 3; ++count) borrow();
    for (auto& borrower : borrowers) borrower->give_back();

    auto third = clean->try_get_connection(), second = clean->try_get_connection(), first = clean->try_get_connection();

    EXPECT_EQ((*third)->number(), 3u);
    EXPECT_EQ((*second)->number(), 2u);
    EXPECT_EQ((*first)->number(), 1u);
    EXPECT_FALSE(clean->try_get_connection());
}

// ---- when it may be lent

TEST_F(WarmConnectionTest, IsCheckedWhenItHasLainForLongerThanTheValidationWindow) {
    auto config = passive(1);
    config.validation_window = 10s;
    make_clean_pool(config);
    open_one();
    pass(9s);
    use_one_without_a_lock();

    pass(10s);
    use_one_without_a_lock();
    pass(10001ms);
    EXPECT_FALSE(clean->try_get_connection());
    EXPECT_EQ(clean->get_stats().idle, 1u);

    EXPECT_TRUE(borrow().has_connection());
    EXPECT_EQ(factory.counts().checks, 1u);
}

TEST_F(WarmConnectionTest, IsNoFresherForABorrowerWhoDidNotUseIt) {
    auto config = passive(1);
    config.validation_window = 10s;
    make_clean_pool(config);
    open_one();
    pass(4s);
    use_one_without_a_lock();

    pass(6s);
    EXPECT_TRUE(clean->try_get_connection());
    pass(4s);
    EXPECT_TRUE(clean->try_get_connection()) << "ten seconds after it was used";
    pass(1s);
    EXPECT_FALSE(clean->try_get_connection());

    EXPECT_TRUE(borrow().has_connection());
    EXPECT_EQ(factory.counts().checks, 1u);
}

TEST_F(WarmConnectionTest, IsReplacedAtItsAgeWhileItLiesThere) {
    auto config = passive(2);
    config.validation_window = 1h;
    config.max_lifetime = 100s;
    config.max_lifetime_jitter = 0;
    make_clean_pool(config);
    open_one();
    pass(60s);
    use_one();

    pass(39s);
    EXPECT_EQ(factory.counts().closes, 0u);
    pass(1s);

    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::lifetime), 1u);
}

TEST_F(WarmConnectionTest, IsReplacedWhenItComesBackAfterItsAge) {
    auto config = passive(1);
    config.validation_window = 1h;
    config.max_lifetime = 100s;
    config.max_lifetime_jitter = 0;
    make_clean_pool(config);
    open_one();
    use_one();
    auto lease = clean->try_get_connection();

    pass(101s);
    EXPECT_EQ(factory.counts().closes, 0u);
    lease.reset();
    run();

    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::lifetime), 1u);
}

TEST_F(WarmConnectionTest, IsClosedWhenNobodyHasWantedItForTheIdleTimeoutAndNoSooner) {
    auto config = passive(1);
    config.validation_window = 1h;
    config.idle_timeout = 60s;
    make_clean_pool(config);
    open_one();
    for (int count = 0; count < 7; ++count) {
        pass(13s);
        use_one();
    }

    pass(59s);
    EXPECT_EQ(clean->get_stats().idle, 1u);
    pass(1s);

    EXPECT_EQ(clean->get_stats().total, 0u);
    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::idle), 1u);
    pass(1h);
    EXPECT_EQ(time.sleepers(), 0u) << "nothing is left to be looked after";
}

TEST_F(WarmConnectionTest, IsCheckedSoOftenAsKeepaliveSaysWhileItLiesThere) {
    auto config = passive(1);
    config.keepalive = 30s;
    make_clean_pool(config);
    open_one();
    pass(20s);
    open_one();
    const auto before = factory.counts().checks;
    use_one_without_a_lock();

    pass(30s);

    EXPECT_EQ(factory.counts().checks, before + 1);
    EXPECT_EQ(clean->get_stats().idle, 1u);
}

TEST_F(WarmConnectionTest, WhoeverWantsToKnowOfLeaksIsToldOfTheLastBorrower) {
    const auto observer = std::make_shared<testing::RecordingObserver>();
    auto config = passive(1);
    config.validation_window = 1h;
    config.leak_threshold = 60s;
    make_clean_pool(config, {.observer = observer});
    open_one();
    use_one();
    pass(50s);

    const auto lease = clean->try_get_connection();
    const auto line = std::source_location::current().line() - 1;
    pass(59s);
    EXPECT_EQ(observer->leaks().size(), 0u);
    pass(1s);

    ASSERT_EQ(observer->leaks().size(), 1u);
    EXPECT_EQ(observer->leaks()[0].borrowed_at.line(), line);
    EXPECT_EQ(clean->get_stats().lent_at_once, 2u);
}

// ---- beside others

TEST_F(WarmConnectionTest, GoesToWhoWaitsAndANewcomerOvertakesNobody) {
    make_clean_pool(1);
    open_one();
    use_one();
    auto lease = clean->try_get_connection();
    auto& first = borrow();
    auto& second = borrow();

    static_cast<void>(**lease);
    lease.reset();
    EXPECT_FALSE(clean->try_get_connection());
    run();
    ASSERT_TRUE(first.has_connection());
    EXPECT_FALSE(second.answer);
    first.give_back();
    EXPECT_FALSE(clean->try_get_connection());
    run();
    ASSERT_TRUE(second.has_connection());
    second.give_back();

    use_one_without_a_lock();
}

TEST_F(WarmConnectionTest, LiesThereAgainWhenWhoWaitedHasLeft) {
    make_clean_pool(1);
    auto& holder = borrow();
    auto& waiter = borrow();
    waiter.cancel.emit(asio::cancellation_type::terminal);
    run();
    ASSERT_EQ(waiter.error(), Errc::cancelled);

    holder.give_back();

    use_one_without_a_lock();
}

TEST_F(WarmConnectionTest, IsClosedWithThePool) {
    make_clean_pool(2);
    auto& other = borrow();
    open_one();
    use_one_without_a_lock();

    clean->close();
    run();
    EXPECT_FALSE(clean->try_get_connection());
    EXPECT_EQ(clean->get_stats().total, 1u);
    EXPECT_EQ(factory.counts().alive, 1u);

    other.give_back();
    run();
    EXPECT_EQ(factory.counts().alive, 0u);
    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::shutdown), 2u);
}

TEST_F(WarmConnectionTest, ALoanMayOutliveThePool) {
    make_clean_pool(1);
    open_one();
    auto lease = clean->try_get_connection();
    static_cast<void>(**lease);

    clean.reset();
    run();
    EXPECT_EQ(factory.counts().alive, 1u);
    lease.reset();
    run();

    EXPECT_EQ(factory.counts().alive, 0u);
}

TEST_F(WarmConnectionTest, IsClosedByASmallerPoolAndWhatIsLentWhenItComesBack) {
    make_clean_pool(3);
    for (int count = 0; count < 3; ++count) borrow();
    borrowers[0]->give_back();
    use_one_without_a_lock();
    auto lent = clean->try_get_connection();
    borrowers[1]->give_back();

    clean->resize(1);
    run();
    EXPECT_EQ(clean->get_stats().total, 2u);
    lent.reset();
    run();
    EXPECT_EQ(clean->get_stats().total, 1u);
    borrowers[2]->give_back();

    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::shrunk), 2u);
    use_one_without_a_lock();
}

TEST_F(WarmConnectionTest, MakesPlaceForABorrowerOfAnotherPool) {
    const MemoryAccount places{"connections", 1};
    make_clean_pool(passive(1), {.places = places});
    open_one();
    use_one_without_a_lock();
    Pool other{io.get_executor(), passive(1), factory, {.places = places}, time};

    EXPECT_TRUE(ConnectionPoolTest::borrow(other).has_connection());

    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::yielded), 1u);
    EXPECT_EQ(factory.counts().most_alive, 1u);
}

TEST_F(WarmConnectionTest, MakesPlaceWhenItComesBackForWhoeverWaitsForOne) {
    const MemoryAccount places{"connections", 1};
    make_clean_pool(passive(1), {.places = places});
    open_one();
    use_one();
    auto lease = clean->try_get_connection();
    bool has_place = false;
    async_reserve(places, 1, asio::bind_executor(io, [&](const auto& place) { has_place = place.has_value(); }));

    lease.reset();
    run();

    EXPECT_TRUE(has_place);
    EXPECT_EQ(clean->get_stats().closed_for(PoolClosing::yielded), 1u);
}

TEST_F(WarmConnectionTest, IsKeptInPlainMemoryByAPoolOfOneThread) {
    ConnectionPool<CleanConnections, ManualTime, ConfinedMemory> confined{
        io.get_executor(), passive(1), CleanConnections{factory}, {}, time};
    ConnectionPoolTest::borrow(confined).give_back();

    for (int count = 0; count < 3; ++count) EXPECT_TRUE(confined.try_get_connection());

    EXPECT_EQ(confined.get_stats().lent_at_once, 3u);
    EXPECT_EQ(confined.get_stats().idle, 1u);
}

} // namespace
} // namespace velostream
