// SPDX-License-Identifier: Apache-2.0
// What a bulkhead and a rate limiter tell their observer.
#include <gtest/gtest.h>

#include <boost/asio/use_awaitable.hpp>
#include <boost/system/errc.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "support/sleepless_time.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/rate_limiter.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::limiter_events_test {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

class LimiterEventsTest : public ::testing::Test {
  protected:
    // Of each refusal, who refused and why.
    std::vector<std::string> told() const {
        std::vector<std::string> told;
        for (const auto& refusal : observer->refusals()) told.push_back(refusal.limiter + ": " + refusal.why);
        return told;
    }
    void pass(Duration by) {
        time.advance(by);
        io.restart();
        io.poll();
    }

    asio::io_context io;
    ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    Bulkhead<ManualTime> bulkhead{"archive", {.max_concurrent = 1, .max_waiting = 1, .max_wait = 10s}, observer, time};
    RateLimiter<ManualTime> limiter{
        "imports", {.permits = 1, .period = 1s, .max_waiting = 1, .max_wait = 10s}, observer, time};
    testing::ScriptedOperation<int> operation{time};
};

using Told = std::vector<std::string>;

TEST_F(LimiterEventsTest, ABulkheadTellsAboutEachCallThatFindsNoRoomHoweverItAsks) {
    auto permit = bulkhead.try_acquire();
    const auto waits = testing::start(io, bulkhead.async_acquire(asio::use_awaitable));
    EXPECT_EQ(told(), Told{}) << "who waits is not refused";

    EXPECT_FALSE(bulkhead.try_acquire());
    EXPECT_FALSE(testing::start(io, bulkhead.async_acquire(asio::use_awaitable)).value());
    EXPECT_FALSE(run(io, time, bulkhead.execute(operation)));

    EXPECT_EQ(told(), (Told{"archive: no room", "archive: no room", "archive: no room"}));
    EXPECT_EQ(observer->refusals().front().error.detail(), "max_concurrent 1, max_waiting 1");
    EXPECT_EQ(observer->count("call_refused"), 3u);
}

TEST_F(LimiterEventsTest, ABulkheadTellsAboutACallWhoseTimeInTheLineIsOver) {
    auto permit = bulkhead.try_acquire();
    const auto waits = testing::start(io, bulkhead.async_acquire(asio::use_awaitable));

    pass(11s);

    EXPECT_EQ(told(), Told{"archive: waited too long"});
    EXPECT_EQ(observer->refusals().front().error.detail(), waits.value().error().detail());
}

TEST_F(LimiterEventsTest, BothTellAboutACallThatHearsOfItsTurnTooLate) {
    auto permit = bulkhead.try_acquire();
    const auto has_room = testing::start(io, bulkhead.execute(operation, {.deadline = time.now() + 5s}));
    permit->give_back();
    pass(6s); // its executor is busy meanwhile
    EXPECT_TRUE(limiter.try_acquire());
    const auto has_turn = testing::start(io, limiter.execute(operation, {.deadline = time.now() + 1500ms}));
    time.advance(1s);
    io.restart();
    while (limiter.get_stats().waiting > 0) ASSERT_EQ(io.poll_one(), 1u);
    pass(1s);

    EXPECT_TRUE(has_room.ended() && has_turn.ended());
    EXPECT_EQ(told(), (Told{"archive: waited too long", "imports: no longer in time"}));
}

TEST_F(LimiterEventsTest, NothingIsToldAboutCallsThatBeginOrAreCancelled) {
    auto permit = bulkhead.try_acquire();
    const auto has_turn = testing::start(io, bulkhead.async_acquire(asio::use_awaitable));
    permit->give_back();
    const auto cancelled = testing::start(io, bulkhead.async_acquire(asio::use_awaitable));
    EXPECT_TRUE(limiter.try_acquire());
    const auto turn_comes = testing::start(io, limiter.async_acquire(asio::use_awaitable));

    cancelled.cancel(asio::cancellation_type::terminal);
    pass(1s);

    EXPECT_TRUE(has_turn.value() && turn_comes.value());
    EXPECT_EQ(cancelled.value().error(), Errc::cancelled);
    EXPECT_EQ(told(), Told{});
}

TEST_F(LimiterEventsTest, NothingIsToldAboutAnAlarmWithoutMemory) {
    testing::SleeplessTime sleepless;
    Bulkhead<testing::SleeplessTime> poor{
        "poor", {.max_concurrent = 1, .max_waiting = 1, .max_wait = 1s}, observer, sleepless};
    auto permit = poor.try_acquire();
    sleepless.set_has_no_memory(true);

    const auto waits = testing::start(io, poor.async_acquire(asio::use_awaitable));

    EXPECT_EQ(waits.value().error(), boost::system::errc::not_enough_memory);
    EXPECT_EQ(told(), Told{}) << "no refusal of the bulkhead's";
}

TEST_F(LimiterEventsTest, ARateLimiterTellsAboutEachCallThatHasNoTurnInTime) {
    EXPECT_TRUE(limiter.try_acquire());
    EXPECT_FALSE(limiter.try_acquire());
    EXPECT_FALSE(testing::start(io, limiter.async_acquire(time.now() + 500ms, asio::use_awaitable)).value());
    EXPECT_FALSE(run(io, time, limiter.execute(operation, {.deadline = time.now() + 500ms})));

    EXPECT_EQ(told(), (Told{"imports: no turn in time", "imports: no turn in time", "imports: no turn in time"}));
    EXPECT_EQ(observer->refusals().front().error.retry_after(), 1s);
}

TEST_F(LimiterEventsTest, ARateLimiterTellsAboutThoseWhoseTurnBecomesTooLate) {
    EXPECT_TRUE(limiter.try_acquire());
    const auto waits = testing::start(io, limiter.async_acquire(asio::use_awaitable));

    limiter.set_rate({.permits = 1, .period = 1h});
    pass(0s);

    EXPECT_EQ(waits.value().error(), Errc::rate_limited);
    EXPECT_EQ(told(), Told{"imports: no longer in time"});
}

// Asks the limiter that tells it something: no lock of the limiter's is held.
struct Asking final : Observer {
    std::function<void()> ask;
    int asked = 0;
    void on_call_refused(const CallRefused&) noexcept override {
        ask();
        ++asked;
    }
};

TEST_F(LimiterEventsTest, AnObserverMayAskTheLimiterThatTellsIt) {
    const auto asking = std::make_shared<Asking>();
    Bulkhead<ManualTime> narrow{"narrow", {.max_concurrent = 1, .max_waiting = 1, .max_wait = 1s}, asking, time};
    RateLimiter<ManualTime> slow{"slow", {.permits = 1, .period = 1s, .max_waiting = 1}, asking, time};
    asking->ask = [&] {
        (void)narrow.get_stats();
        (void)slow.get_stats();
    };
    auto permit = narrow.try_acquire();
    const auto in_line = testing::start(io, narrow.async_acquire(asio::use_awaitable));
    EXPECT_TRUE(slow.try_acquire());
    const auto has_a_turn = testing::start(io, slow.async_acquire(time.now() + 5s, asio::use_awaitable));

    EXPECT_FALSE(narrow.try_acquire());
    EXPECT_FALSE(testing::start(io, narrow.async_acquire(asio::use_awaitable)).value());
    EXPECT_FALSE(slow.try_acquire());
    slow.set_rate({.permits = 1, .period = 1h});
    pass(2s);

    EXPECT_TRUE(in_line.ended() && has_a_turn.ended());
    EXPECT_EQ(asking->asked, 5);
}

TEST_F(LimiterEventsTest, BothAreMadeWithAndWithoutANameAndAnObserver) {
    const Bulkhead<ManualTime> unnamed{{.max_concurrent = 1}, time};
    Bulkhead with_default_time{"archive", BulkheadConfig{.max_concurrent = 1}};
    RateLimiter other{"imports", RateLimiterConfig{}};

    EXPECT_TRUE(with_default_time.try_acquire());
    EXPECT_TRUE(other.try_acquire());
    EXPECT_EQ(unnamed.get_stats().max_concurrent, 1u);
}

} // namespace
} // namespace velostream::limiter_events_test
