// SPDX-License-Identifier: Apache-2.0
#include "velostream/adaptive_limit.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <concepts>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;
using Limit = AdaptiveLimit<ManualTime>;
using Permit = Limit::Permit;

static_assert(CallPolicy<Limit> && WaitingGuard<Limit::Guard> && TimedPolicy<Limit>);
static_assert(!std::copyable<Permit> && std::movable<Permit>);

class AdaptiveLimitTest : public ::testing::Test {
  protected:
    testing::Started<Result<Permit>> wait() { return testing::start(io, limit.async_acquire(asio::use_awaitable)); }
    void poll() {
        io.restart();
        io.poll();
    }
    // So many calls at once, which all take so long and succeed.
    void serve(std::size_t calls, Duration latency) {
        std::vector<Permit> permits;
        while (permits.size() < calls) permits.push_back(*limit.try_acquire());
        time.advance(latency);
        for (auto& permit : permits) permit.success();
    }
    // To a tenth of a percent: so exact are latencies kept.
    static void expect_about(Duration latency, Duration expected) {
        EXPECT_LE(latency, expected + expected / 1000);
        EXPECT_GE(latency, expected - expected / 1000);
    }
    std::size_t now_at() const { return limit.get_stats().limit; }

    asio::io_context io;
    ManualTime time;
    // Every drop lowers it; windows of ten calls, all of the way at once.
    const AdaptiveLimitConfig config{.initial_limit = 4,
                                     .max_limit = 8,
                                     .window = 10,
                                     .smoothing = 1,
                                     .tolerated_drop_rate = 0,
                                     .max_waiting = 3,
                                     .max_wait = 10s};
    Limit limit{config, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(AdaptiveLimitTest, GivesSoManyPermitsAsTheLimitAndNoMore) {
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*limit.try_acquire());

    const auto refused = limit.try_acquire();

    EXPECT_EQ(refused.error(), Errc::bulkhead_full);
    EXPECT_EQ(refused.error(), ErrorType::resource_exhausted);
    EXPECT_EQ(refused.error().detail(), "limit between 1 and 8, max_waiting 3");
    EXPECT_EQ(limit.get_stats().in_use, 4u);
    EXPECT_EQ(limit.get_stats().refused, 1u);
    permits.clear();
    EXPECT_EQ(limit.get_stats().in_use, 0u) << "each came back by its end";
}

TEST_F(AdaptiveLimitTest, APermitComesBackOnceHoweverItsCallEnded) {
    auto permit = *limit.try_acquire();
    auto moved = std::move(permit);
    EXPECT_FALSE(permit);
    EXPECT_TRUE(moved);
    EXPECT_EQ(limit.get_stats().in_use, 1u);

    moved.success();
    moved.failure(Errc::send_timeout);
    moved.ignore();

    EXPECT_FALSE(moved);
    EXPECT_EQ(limit.get_stats().in_use, 0u);
    EXPECT_EQ(limit.get_stats().dropped, 0u) << "the first word counts";
}

TEST_F(AdaptiveLimitTest, GrowsWhileItIsReachedAndLatencyIsGood) {
    for (int i = 0; i < 10; ++i) serve(1, 10ms); // quiet: what a call takes without load
    expect_about(limit.get_stats().latency_without_load, 10ms);
    EXPECT_EQ(now_at(), 4u);

    for (int i = 0; i < 3; ++i) serve(4, 10ms);

    EXPECT_EQ(now_at(), 6u);
    EXPECT_EQ(limit.get_stats().windows, 2u);
}

TEST_F(AdaptiveLimitTest, FallsWhenLatencyRises) {
    for (int i = 0; i < 10; ++i) serve(1, 10ms);
    while (now_at() < 8) serve(now_at(), 10ms);

    for (int i = 0; i < 2; ++i) serve(8, 1s);

    EXPECT_EQ(now_at(), 6u) << "a half and the root of eight";
    expect_about(limit.get_stats().recent_latency, 1s);
}

TEST_F(AdaptiveLimitTest, FollowsWhatAServerTakes) {
    constexpr std::size_t workers = 10;
    Limit wide{{.initial_limit = 2, .max_limit = 200}, time};
    std::deque<std::pair<TimePoint, Permit>> served; // first come first served, 10 ms each
    std::deque<TimePoint> free_at(workers, time.now());
    for (int calls = 0; calls < 20'000; ++calls) {
        while (auto permit = wide.try_acquire()) {
            const auto ends = std::max(free_at.front(), time.now()) + 10ms;
            free_at.pop_front();
            free_at.push_back(ends);
            served.emplace_back(ends, std::move(*permit));
        }
        time.advance_to(served.front().first);
        served.front().second.success();
        served.pop_front();
    }

    const auto stats = wide.get_stats();
    EXPECT_GE(stats.limit, stats.is_measuring ? workers / 4 : workers);
    EXPECT_LE(stats.limit, 2 * workers + 4);
    expect_about(stats.latency_without_load, 10ms);
}

TEST_F(AdaptiveLimitTest, DroppedCallsLowerItOnceForAllThatRanThen) {
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*limit.try_acquire());

    for (auto& permit : permits) permit.failure(Errc::send_timeout);

    EXPECT_EQ(now_at(), 3u);
    EXPECT_EQ(limit.get_stats().dropped, 4u);
    EXPECT_EQ(limit.get_stats().late, 3u);
    limit.try_acquire()->failure(Errc::send_timeout);
    EXPECT_EQ(now_at(), 2u);
}

TEST_F(AdaptiveLimitTest, CallsThatBeganUnderAnEarlierLimitAreNotJudged) {
    std::vector<Permit> permits;
    for (int i = 0; i < 3; ++i) permits.push_back(*limit.try_acquire());
    limit.try_acquire()->failure(Errc::send_timeout);

    time.advance(1h);
    for (auto& permit : permits) permit.success();
    for (int i = 0; i < 10; ++i) serve(1, 10ms);

    EXPECT_EQ(limit.get_stats().late, 3u);
    EXPECT_LE(limit.get_stats().latency_without_load, 10ms);
}

TEST_F(AdaptiveLimitTest, AWaiterBelongsToTheLimitUnderWhichItHadItsTurn) {
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*limit.try_acquire());
    const auto a = wait();
    permits.back().ignore(); // its room is on its way to `a`
    permits.pop_back();

    permits.back().failure(Errc::send_timeout); // and the limit is lowered before `a` runs
    permits.pop_back();
    poll();
    a.value()->failure(Errc::send_timeout);

    EXPECT_EQ(now_at(), 3u) << "not lowered twice";
    EXPECT_EQ(limit.get_stats().late, 1u);
}

TEST_F(AdaptiveLimitTest, AWaiterBelongsToTheLimitThatMadeRoomForIt) {
    for (int i = 0; i < 10; ++i) serve(1, 10ms);
    for (int i = 0; i < 2; ++i) serve(4, 10ms);
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*limit.try_acquire());
    const auto a = wait(), b = wait(), c = wait();

    time.advance(10ms);
    permits[0].success();
    permits[1].success(); // ten calls at a limit that was reached: it grows
    poll();

    EXPECT_TRUE(a.value() && b.value() && c.value());
    EXPECT_EQ(now_at(), 6u);
    c.value()->failure(Errc::send_timeout);
    EXPECT_EQ(now_at(), 5u) << "it began under the limit that it is judged by";
}

TEST_F(AdaptiveLimitTest, AWindowIsAsLongAsTheLimitOfNowNeeds) {
    auto wide = config;
    wide.window = 100;
    Limit low{wide, time};
    low.try_acquire()->failure(Errc::send_timeout);
    ASSERT_EQ(low.get_stats().limit, 3u);

    for (int i = 0; i < 29; ++i) low.try_acquire()->success();
    EXPECT_EQ(low.get_stats().windows, 0u);
    low.try_acquire()->success(); // ten for each place
    EXPECT_EQ(low.get_stats().windows, 1u);
}

TEST_F(AdaptiveLimitTest, OnlyWhatSaysOverloadIsDropped) {
    limit.try_acquire()->failure(Errc::circuit_open);
    limit.try_acquire()->failure(Errc::operation_failed);
    limit.try_acquire()->failure(Errc::cancelled);
    limit.try_acquire()->ignore();
    EXPECT_EQ(now_at(), 4u);
    EXPECT_EQ(limit.get_stats().dropped, 0u);

    limit.try_acquire()->failure(Errc::connect_failed);

    EXPECT_EQ(now_at(), 3u);
}

TEST_F(AdaptiveLimitTest, AUsersPredicateDecidesWhatIsDropped) {
    const auto is_dropped = [](const Error& error) {
        if (error == Errc::operation_failed) throw std::runtime_error{"what?"};
        return error == Errc::circuit_open;
    };
    Limit own{"own", config, nullptr, time, is_dropped};

    own.try_acquire()->failure(Errc::send_timeout);
    own.try_acquire()->failure(Errc::cancelled);
    EXPECT_EQ(own.get_stats().dropped, 0u);
    own.try_acquire()->failure(Errc::circuit_open);
    EXPECT_EQ(own.get_stats().dropped, 1u);
    own.try_acquire()->failure(Errc::operation_failed);

    EXPECT_EQ(own.get_stats().dropped, 2u) << "one that throws says yes";
    EXPECT_EQ(own.get_stats().limit, 2u);
}

TEST_F(AdaptiveLimitTest, AWaitEndsAtMaxWaitAndARefusalIsTold) {
    const auto observer = std::make_shared<testing::RecordingObserver>();
    Limit told{"archive", config, observer, time};
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*told.try_acquire());
    const auto a = testing::start(io, told.async_acquire(asio::use_awaitable));
    const auto hurried = testing::start(io, told.async_acquire(time.now() + 1s, asio::use_awaitable));

    time.advance(1s);
    poll();
    EXPECT_EQ(hurried.value().error(), Errc::bulkhead_full);
    EXPECT_FALSE(a.ended());
    time.advance(10s);
    poll();

    EXPECT_EQ(a.value().error().detail(), "waited 11000 ms with 4 of 4 calls running and 1 waiting");
    EXPECT_EQ(told.get_stats().timed_out, 2u);
    EXPECT_EQ(told.get_stats().waiting, 0u);
    EXPECT_FALSE(told.try_acquire());
    ASSERT_EQ(observer->refusals().size(), 3u);
    EXPECT_EQ(observer->refusals()[0].why, "waited too long");
    EXPECT_EQ(observer->refusals()[2].why, "no room");
    EXPECT_EQ(observer->refusals()[2].limiter, "archive");
}

// Asks the limit that tells it something: no lock of the limit's is held.
struct Asking final : Observer {
    Limit* limit = nullptr;
    std::vector<std::size_t> limits;
    void on_concurrency_limit_changed(const ConcurrencyLimitChanged&) noexcept override {
        limits.push_back(limit->get_stats().limit);
    }
};

TEST_F(AdaptiveLimitTest, EveryMoveIsToldAfterItTookEffect) {
    const auto observer = std::make_shared<testing::RecordingObserver>();
    const auto asking = std::make_shared<Asking>();
    Limit told{"archive", config, observer, time};
    Limit asked{"archive", config, asking, time};
    asking->limit = &asked;
    for (auto* each : {&told, &asked}) {
        std::vector<Permit> permits;
        for (int i = 0; i < 4; ++i) permits.push_back(*each->try_acquire());
        for (auto& permit : permits) permit.failure(Errc::send_timeout);
        for (int i = 0; i < 10; ++i) each->try_acquire()->success(); // the first window, under load: down to measure
        for (int i = 0; i < 10; ++i) each->try_acquire()->success();
    }

    const auto changes = observer->limit_changes();
    ASSERT_EQ(changes.size(), 3u);
    EXPECT_EQ(changes[0].limiter, "archive");
    EXPECT_EQ(changes[0].from, 4u);
    EXPECT_EQ(changes[0].to, 3u);
    EXPECT_EQ(changes[0].why, "calls dropped");
    EXPECT_EQ(changes[1].to, 1u);
    EXPECT_EQ(changes[1].why, "measuring begins");
    EXPECT_EQ(changes[2].to, 3u);
    EXPECT_EQ(changes[2].why, "measuring ends");
    EXPECT_EQ(asking->limits, (std::vector<std::size_t>{3, 1, 3}));
}

// Asks how many wait when a limit has risen.
struct AskingWhoWaits final : Observer {
    Limit* limit = nullptr;
    std::vector<std::size_t> waiting;
    void on_concurrency_limit_changed(const ConcurrencyLimitChanged& change) noexcept override {
        if (change.to > change.from) waiting.push_back(limit->get_stats().waiting);
    }
};

TEST_F(AdaptiveLimitTest, ALimitThatRisesHasServedThoseWhoWaitWhenItIsTold) {
    const auto asking = std::make_shared<AskingWhoWaits>();
    Limit asked{"archive", config, asking, time};
    asking->limit = &asked;
    const auto serve_at_once = [&](std::size_t calls) {
        std::vector<Permit> permits;
        while (permits.size() < calls) permits.push_back(*asked.try_acquire());
        time.advance(10ms);
        for (auto& permit : permits) permit.success();
    };
    for (int i = 0; i < 10; ++i) serve_at_once(1);
    for (int i = 0; i < 2; ++i) serve_at_once(4);
    std::vector<Permit> permits;
    while (permits.size() < 4) permits.push_back(*asked.try_acquire());
    const auto a = testing::start(io, asked.async_acquire(asio::use_awaitable));
    const auto b = testing::start(io, asked.async_acquire(asio::use_awaitable));

    time.advance(10ms);
    permits[0].success();
    ASSERT_EQ(asked.get_stats().waiting, 1u);
    permits[1].success(); // ten calls at a limit that was reached: it grows

    EXPECT_EQ(asking->waiting, std::vector<std::size_t>{0});
}

TEST_F(AdaptiveLimitTest, ItsEndCompletesThoseWhoWait) {
    auto narrow = config;
    narrow.initial_limit = 1;
    std::optional<Limit> ending;
    ending.emplace(narrow, time);
    auto permit = *ending->try_acquire();
    const auto a = testing::start(io, ending->async_acquire(asio::use_awaitable));

    permit.ignore();
    const auto b = testing::start(io, ending->async_acquire(asio::use_awaitable));
    ending.reset();
    poll();
    EXPECT_EQ(time.sleepers(), 0u);

    EXPECT_TRUE(a.value()) << "its permit was on its way";
    a.value()->success();
    EXPECT_EQ(b.value().error(), Errc::cancelled);
}

TEST_F(AdaptiveLimitTest, AnIllegalConfigIsRefused) {
    try {
        const Limit wrong{{.min_limit = 0, .window = 9}, time};
        FAIL();
    } catch (const std::invalid_argument& error) {
        EXPECT_NE(std::string{error.what()}.find("min_limit = 0"), std::string::npos);
        EXPECT_NE(std::string{error.what()}.find("window = 9"), std::string::npos);
    }
}

TEST_F(AdaptiveLimitTest, LearnsFromTheCallsThatItExecutes) {
    operation.takes(10ms).returns(1);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(run(io, time, limit.execute(operation)));
    EXPECT_EQ(limit.get_stats().windows, 1u);
    expect_about(limit.get_stats().latency_without_load, 10ms);

    for (int i = 0; i < 3; ++i) {
        std::vector<testing::Started<Result<int>>> calls;
        for (int call = 0; call < 5; ++call) calls.push_back(testing::start(io, limit.execute(operation)));
        time.run_for(io, 20ms);
        for (const auto& call : calls) EXPECT_TRUE(call.value()) << "the fifth has waited";
    }

    EXPECT_GT(now_at(), 4u);
    EXPECT_EQ(limit.get_stats().in_use, 0u);
}

TEST_F(AdaptiveLimitTest, TheTimeInTheLineIsNoLatency) {
    auto narrow = config;
    narrow.initial_limit = narrow.max_limit = 1;
    Limit one{narrow, time};
    operation.takes(10ms).returns(1);

    for (int i = 0; i < 5; ++i) {
        const auto first = testing::start(io, one.execute(operation));
        const auto second = testing::start(io, one.execute(operation));
        time.run_for(io, 20ms);
        EXPECT_TRUE(first.value() && second.value());
    }

    EXPECT_EQ(one.get_stats().windows, 1u);
    expect_about(one.get_stats().recent_latency, 10ms);
}

TEST_F(AdaptiveLimitTest, AFailedCallGivesItsRoomOnAndLowersTheLimit) {
    operation.fails(Errc::connect_failed).throws(std::runtime_error{"broken"});

    RetryExecutor<ManualTime> retry{RetryConfig{}, nullptr, time};
    const auto call = testing::start(io, Pipeline{retry, limit}.execute(operation));
    EXPECT_EQ(limit.get_stats().in_use, 0u) << "during the backoff";
    EXPECT_EQ(now_at(), 3u);
    time.run_for(io, 1s);

    EXPECT_EQ(call.value().error(), Errc::operation_failed);
    EXPECT_EQ(now_at(), 3u) << "an exception of the user's says nothing about the service";
    EXPECT_EQ(limit.get_stats().in_use, 0u);
}

TEST_F(AdaptiveLimitTest, ACallThatBeganUnderAnEarlierLimitIsLateWhenItSucceeds) {
    operation.takes(10ms).returns(1);
    const auto call = testing::start(io, limit.execute(operation));

    limit.try_acquire()->failure(Errc::send_timeout);
    ASSERT_EQ(now_at(), 3u);
    time.run_for(io, 10ms);

    EXPECT_TRUE(call.value());
    EXPECT_EQ(limit.get_stats().late, 1u);
}

TEST_F(AdaptiveLimitTest, ACallFromTheLineBelongsToTheLimitUnderWhichItGotItsPlace) {
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*limit.try_acquire());
    operation.takes(10ms).returns(1);
    const auto call = testing::start(io, limit.execute(operation));

    permits[0].ignore(); // its place is on the way to the call
    permits[1].failure(Errc::send_timeout);
    ASSERT_EQ(now_at(), 3u);
    time.run_for(io, 10ms);

    EXPECT_TRUE(call.value());
    EXPECT_EQ(limit.get_stats().late, 1u);
}

TEST_F(AdaptiveLimitTest, NoPredicateIsAskedAboutACancelledCall) {
    int asked = 0;
    Limit judged{"limit", config, nullptr, time, [&](const Error&) { return ++asked > 0; }};
    operation.hangs();
    const auto call = testing::start(io, judged.execute(operation));

    call.cancel(asio::cancellation_type::terminal);
    poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    EXPECT_EQ(asked, 0);
    EXPECT_EQ(judged.get_stats().dropped, 0u);
}

TEST_F(AdaptiveLimitTest, ATimeoutAroundItOrInsideOfItIsADroppedCall) {
    Timeout<ManualTime> timeout{1s, time};
    Pipeline outside{timeout, limit};
    Pipeline inside{limit, timeout};
    operation.hangs();

    EXPECT_EQ(run(io, time, outside.execute(operation)).error(), Errc::deadline_exceeded);
    EXPECT_EQ(now_at(), 3u);
    EXPECT_EQ(run(io, time, inside.execute(operation)).error(), Errc::deadline_exceeded);

    EXPECT_EQ(now_at(), 2u);
}

TEST_F(AdaptiveLimitTest, DoesNotCallWhatItRefuses) {
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*limit.try_acquire());
    operation.returns(1);

    EXPECT_EQ(run(io, time, limit.execute(operation)).error(), Errc::bulkhead_full);

    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(limit.get_stats().dropped, 0u);
}

TEST_F(AdaptiveLimitTest, ACallWhosePermitIsToldAfterItsDeadlineIsRefused) {
    std::vector<Permit> permits;
    for (int i = 0; i < 4; ++i) permits.push_back(*limit.try_acquire());
    const auto call = testing::start(io, limit.execute(operation, {.deadline = time.now() + 5s}));

    permits.pop_back();
    time.advance(6s); // its executor is busy meanwhile
    poll();

    EXPECT_EQ(call.value().error(), Errc::bulkhead_full);
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(limit.get_stats().in_use, 3u);
}

} // namespace
} // namespace velostream
