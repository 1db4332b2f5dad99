// SPDX-License-Identifier: Apache-2.0
// A call that is cancelled and whose deadline comes: whoever was first says how it ends.
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "support/run_coroutine.hpp"
#include "velostream/fallback.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

// A policy of a user's own, which has no time for any call.
struct NeverInTime {
    class Guard {
      public:
        explicit Guard(NeverInTime&) noexcept {}
        Decision before(CallContext&) { return Decision::refuse(Errc::deadline_exceeded); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, const Error&) noexcept { return Verdict::pass_on(); }
    };
};

class TimeoutOrCallerTest : public ::testing::Test {
  protected:
    // Without a slot it listens to whoever cancels the coroutine that awaits it.
    asio::awaitable<void> sleep_until(TimePoint until, asio::cancellation_slot slot = {}) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto executor = co_await asio::this_coro::executor;
        if (slot.is_connected()) {
            auto token = asio::bind_cancellation_slot(slot, asio::as_tuple(asio::use_awaitable));
            auto bound = async_sleep_until(time, executor, until, std::move(token));
            co_await std::move(bound);
        } else {
            auto sleep = async_sleep_until(time, executor, until, asio::as_tuple(asio::use_awaitable));
            co_await std::move(sleep);
        }
    }
    // Listens to nobody, and ends at the deadline by itself.
    auto keeps_its_deadline() {
        return [this](CallContext& call) -> asio::awaitable<Result<int>> {
            asio::cancellation_signal nobodys;
            auto sleep = sleep_until(call.deadline(), nobodys.slot());
            co_await std::move(sleep);
            co_return Errc::deadline_exceeded;
        };
    }
    // Waits for an hour, and two seconds more when it is cancelled, of which nobody hears.
    asio::awaitable<Result<int>> run_slowly(asio::cancellation_slot slot) {
        auto sleep = sleep_until(time.now() + 1h, slot);
        co_await std::move(sleep);
        asio::cancellation_signal nobodys;
        auto tidying_up = sleep_until(time.now() + 2s, nobodys.slot());
        co_await std::move(tidying_up);
        co_return Errc::operation_failed;
    }

    // What a call comes to whose caller had been cancelled before, and goes on.
    template <class... Policies, class Operation>
    Result<int> call_cancelled(const Pipeline<Policies...>& guarded, Operation operation) {
        auto calls_late = [&]() -> asio::awaitable<Result<int>> {
            auto moment = sleep_until(time.now() + 1s, asio::cancellation_slot{});
            co_await std::move(moment);
            auto running = guarded.execute(operation);
            co_return co_await std::move(running);
        };
        const auto started = testing::start(io, calls_late());
        started.cancel(asio::cancellation_type::terminal);
        time.run_for(io, 1h);
        return started.value();
    }

    asio::io_context io;
    ManualTime time;
    Timeout<ManualTime> timeout{5s, time};
};

TEST_F(TimeoutOrCallerTest, ADeadlineThatTheOperationKeepsByItselfIsNotBeforeACallerWhoWasFirst) {
    CircuitBreaker<ManualTime> breaker{{.failure_threshold = 1}, nullptr, time};
    const Pipeline guarded{timeout, breaker};

    const auto cancelled = testing::start(io, guarded.execute(keeps_its_deadline()));
    time.run_for(io, 1s);
    cancelled.cancel(asio::cancellation_type::terminal);
    time.run_for(io, 4s);
    EXPECT_EQ(cancelled.value().error(), Errc::cancelled);
    EXPECT_EQ(timeout.get_stats().timed_out, 0u);
    EXPECT_EQ(breaker.state(), CircuitState::closed);

    EXPECT_EQ(run(io, time, guarded.execute(keeps_its_deadline())).error(), Errc::deadline_exceeded);
    EXPECT_EQ(breaker.state(), CircuitState::open);
}

TEST_F(TimeoutOrCallerTest, ATimeoutThatWasFirstRemainsOneWhenTheCallerCancelsWhatEndsSlowly) {
    const auto plain = [this] { return run_slowly({}); };
    const auto with_context = [this](CallContext& call) { return run_slowly(call.cancellation_slot()); };
    Hedge<ManualTime> hedge{HedgeConfig{.delay = 1h}, time};
    const Pipeline guarded{timeout};
    const Pipeline hedged{timeout, hedge};

    for (int shape = 0; shape < 3; ++shape) {
        const auto started = shape == 0   ? testing::start(io, guarded.execute(plain))
                             : shape == 1 ? testing::start(io, guarded.execute(with_context))
                                          : testing::start(io, hedged.execute(idempotent(plain)));
        time.run_for(io, 6s);
        ASSERT_FALSE(started.ended());
        started.cancel(asio::cancellation_type::terminal);
        time.run_for(io, 1h);

        EXPECT_EQ(started.value().error(), Errc::deadline_exceeded) << shape;
    }
    EXPECT_EQ(timeout.get_stats().timed_out, 3u);
}

// A hedged call whose first attempt had timed out, and whose second was running when the caller cancelled.
TEST_F(TimeoutOrCallerTest, ACallerWhoEndsTheLastAttemptIsNotAfterATimeoutOfAnotherAttempt) {
    CircuitBreaker<ManualTime> breaker{{.failure_threshold = 1}, nullptr, time};
    Hedge<ManualTime> hedge{HedgeConfig{.delay = 4s}, time};
    const Pipeline guarded{breaker, hedge, timeout};

    const auto started = testing::start(io, guarded.execute(idempotent([this] { return run_slowly({}); })));
    time.run_for(io, 8s);
    ASSERT_FALSE(started.ended());
    EXPECT_EQ(timeout.get_stats().timed_out, 1u);
    started.cancel(asio::cancellation_type::terminal);
    time.run_for(io, 2s);

    EXPECT_EQ(started.value().error(), Errc::cancelled);
    EXPECT_EQ(timeout.get_stats().timed_out, 1u);
    EXPECT_EQ(breaker.state(), CircuitState::closed);
}

TEST_F(TimeoutOrCallerTest, WhoeverWasFirstEndsTheRecoveryOfAFallback) {
    const auto fails = [](CallContext&) -> asio::awaitable<Result<int>> { co_return Errc::operation_failed; };
    const auto run_for_long = [this](const Error&) { return run_slowly({}); };
    const auto until_the_deadline = [this](const Error&) -> asio::awaitable<Result<int>> {
        asio::cancellation_signal nobodys;
        auto sleep = sleep_until(time.now() + 5s, nobodys.slot());
        co_await std::move(sleep);
        co_return Errc::deadline_exceeded;
    };
    CircuitBreaker<ManualTime> breaker{{.failure_threshold = 1}, nullptr, time};
    Fallback slow{{ErrorType::unknown}, run_for_long};
    Fallback deaf{{ErrorType::unknown}, until_the_deadline};
    const Pipeline slowly{breaker, timeout, slow};
    const Pipeline deafly{breaker, timeout, deaf};
    const Pipeline without_a_deadline{breaker, deaf};

    const auto cancel_first = [&](const auto& guarded) {
        const auto cancelled = testing::start(io, guarded.execute(fails));
        time.run_for(io, 4s);
        cancelled.cancel(asio::cancellation_type::terminal);
        time.run_for(io, 2s);
        EXPECT_EQ(cancelled.value().error(), Errc::cancelled);
    };
    cancel_first(deafly);
    cancel_first(without_a_deadline);
    EXPECT_EQ(timeout.get_stats().timed_out, 0u);
    EXPECT_EQ(breaker.state(), CircuitState::closed);

    const auto timed_out = testing::start(io, slowly.execute(fails));
    time.run_for(io, 6s);
    ASSERT_FALSE(timed_out.ended());
    timed_out.cancel(asio::cancellation_type::terminal);
    time.run_for(io, 2s);
    EXPECT_EQ(timed_out.value().error(), Errc::deadline_exceeded);
    EXPECT_EQ(timeout.get_stats().timed_out, 1u);
    EXPECT_EQ(breaker.state(), CircuitState::open);
}

TEST_F(TimeoutOrCallerTest, ACallerWhoHadCancelledBeforeWasFirst) {
    CircuitBreaker<ManualTime> breaker{{.failure_threshold = 1}, nullptr, time};
    Hedge<ManualTime> hedge{HedgeConfig{.delay = 1h}, time};
    const Pipeline guarded{breaker, timeout};
    const Pipeline hedged{breaker, timeout, hedge};
    const Pipeline each{breaker, hedge, timeout};
    const auto plain = [this] { return run_slowly({}); };
    const auto with_context = [this](CallContext& call) { return run_slowly(call.cancellation_slot()); };

    EXPECT_EQ(call_cancelled(guarded, plain).error(), Errc::cancelled);
    EXPECT_EQ(call_cancelled(guarded, with_context).error(), Errc::cancelled);
    EXPECT_EQ(call_cancelled(hedged, idempotent(plain)).error(), Errc::cancelled);
    EXPECT_EQ(call_cancelled(each, idempotent(plain)).error(), Errc::cancelled);
    EXPECT_EQ(breaker.state(), CircuitState::closed);
}

TEST_F(TimeoutOrCallerTest, AGuardThatRefusesAtOnceWasNotBeforeACallerWhoHadCancelled) {
    CircuitBreaker<ManualTime> breaker{{.failure_threshold = 1}, nullptr, time};
    Hedge<ManualTime> hedge{HedgeConfig{.delay = 1h}, time};
    NeverInTime never;
    const Pipeline guarded{breaker, never};
    const Pipeline hedged{breaker, never, hedge};
    const auto plain = [this] { return run_slowly({}); };

    EXPECT_EQ(call_cancelled(guarded, plain).error(), Errc::cancelled);
    EXPECT_EQ(call_cancelled(hedged, idempotent(plain)).error(), Errc::cancelled);
    EXPECT_EQ(breaker.state(), CircuitState::closed);

    EXPECT_EQ(run(io, time, guarded.execute(plain)).error(), Errc::deadline_exceeded);
    EXPECT_EQ(breaker.state(), CircuitState::open);
}

// An attempt of a hedged call ends by itself as if it had been cancelled, the other one at its deadline.
TEST_F(TimeoutOrCallerTest, AnAttemptThatCancelledItselfDoesNotBlameTheCallerWhoCancelsLater) {
    CircuitBreaker<ManualTime> breaker{{.failure_threshold = 1}, nullptr, time};
    Hedge<ManualTime> hedge{HedgeConfig{.delay = 1s}, time};
    const Pipeline guarded{breaker, hedge, timeout};
    int attempts = 0;
    const auto second_gives_up = [&]() -> asio::awaitable<Result<int>> {
        if (++attempts == 2) co_return Errc::cancelled;
        auto running = run_slowly({});
        co_return co_await std::move(running);
    };

    const auto started = testing::start(io, guarded.execute(idempotent(second_gives_up)));
    time.run_for(io, 6s);
    ASSERT_EQ(attempts, 2);
    ASSERT_FALSE(started.ended()) << "the first tidies up after its deadline";
    started.cancel(asio::cancellation_type::terminal);
    time.run_for(io, 2s);

    EXPECT_EQ(started.value().error(), Errc::deadline_exceeded);
    EXPECT_EQ(breaker.state(), CircuitState::open);
}

} // namespace
} // namespace velostream
