// SPDX-License-Identifier: Apache-2.0
// Calls of keyed circuit breakers, and waits for them: cancelled or destroyed at every point at which they can be. What
// is left behind is nothing: no permit, no waiter, no sleeper, no entry that is held, no byte of the account.
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::keyed_breakers_test {
namespace {

using namespace std::chrono_literals;

enum class End { terminal, partial, total, destroyed };

constexpr asio::cancellation_type kind_of(End end) {
    switch (end) {
        case End::partial:
            return asio::cancellation_type::partial;
        case End::total:
            return asio::cancellation_type::total;
        default:
            return asio::cancellation_type::terminal;
    }
}

constexpr int probes = 2;
const std::string key = "a";

struct Scene {
    using Breakers = KeyedCircuitBreakers<std::string, testing::ManualTime>;

    // What entries are kept in stays when they go.
    Bytes used_without_entries() {
        fail();
        breakers->reset(key);
        return account.used();
    }
    void fail() { breakers->try_acquire(key)->failure(Errc::connect_failed); }
    void open() {
        fail();
        fail();
        ASSERT_EQ(breakers->state(key), CircuitState::open);
    }
    void poll() {
        io->restart();
        io->poll();
    }
    // One handler, or as much time as it takes until there is one. False if nothing will happen any more.
    bool step() {
        io->restart();
        if (io->poll_one() > 0) return true;
        const auto wake = time.next_wake();
        if (wake) time.advance_to(*wake);
        return wake.has_value();
    }

    // Ends a coroutine, or everything in the context.
    void end(End how, asio::cancellation_signal& signal) {
        if (how == End::destroyed) {
            io.emplace();
            return;
        }
        signal.emit(kind_of(how));
        poll();
    }
    void expect_nothing_left(int succeeded = 0) {
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        expect_permits(probes - succeeded);
        breakers->reset(key);
        EXPECT_EQ(breakers->get_stats().keys, 0u) << "somebody holds the entry";
        EXPECT_EQ(account.used(), empty);
        breakers.reset();
        EXPECT_EQ(account.used(), 0u);
    }
    void expect_permits(int count) {
        if (breakers->state(key) == CircuitState::open) time.advance(10s);
        if (breakers->state(key) != CircuitState::half_open) return;
        std::vector<Result<Breakers::Permit>> permits;
        for (int i = 0; i < count; ++i) EXPECT_TRUE(permits.emplace_back(breakers->try_acquire(key))) << i;
        EXPECT_FALSE(breakers->try_acquire(key));
    }

    testing::ManualTime time;
    MemoryAccount account{"breakers"};
    std::optional<asio::io_context> io{std::in_place};
    std::optional<Breakers> breakers{
        std::in_place,
        "shops",
        KeyedCircuitBreakersConfig{.breaker = {.failure_threshold = 2, .success_threshold = probes, .timeout = 10s},
                                   .max_keys = 64},
        nullptr,
        time,
        CallClassifier{},
        account};
    const Bytes empty = used_without_entries();
    testing::ScriptedOperation<int> operation{time};
};

// `execute` by itself

enum class Shape { plain, with_context, with_deadline };
enum class Known { nothing, a_failure, open };

class CancelledKeyedCallTest : public ::testing::TestWithParam<std::tuple<Shape, Known, End>> {
  protected:
    testing::Started<Result<int>> start_call() {
        auto& breakers = *scene.breakers;
        if (std::get<0>(GetParam()) == Shape::with_context)
            return testing::start(*scene.io, breakers.execute(key, scene.operation.with_context()));
        const bool has_deadline = std::get<0>(GetParam()) == Shape::with_deadline;
        const auto deadline = has_deadline ? scene.time.now() + 60s : CallContext::no_deadline;
        return testing::start(*scene.io, breakers.execute(key, scene.operation, {.deadline = deadline}));
    }

    Scene scene;
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledKeyedCallTest,
                         ::testing::Combine(::testing::Values(Shape::plain, Shape::with_context, Shape::with_deadline),
                                            ::testing::Values(Known::nothing, Known::a_failure, Known::open),
                                            ::testing::Values(End::terminal, End::partial, End::total,
                                                              End::destroyed)));

TEST_P(CancelledKeyedCallTest, JudgesNothingAndReturnsItsPermit) {
    const auto known = std::get<1>(GetParam());
    const auto end = std::get<2>(GetParam());
    if (known == Known::a_failure) scene.fail();
    if (known == Known::open) {
        scene.open();
        scene.time.advance(10s);
    }
    const auto before = scene.breakers->get_stats(key);
    scene.operation.hangs();
    const auto call = start_call();
    EXPECT_EQ(scene.operation.running(), 1u);

    if (end == End::destroyed) {
        scene.io.emplace();
    } else {
        call.cancel(kind_of(end));
        scene.poll();
        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    }

    const auto after = scene.breakers->get_stats(key);
    EXPECT_EQ(after.state, before.state) << "neither closed nor opened by it";
    EXPECT_EQ(after.window_calls, before.window_calls);
    EXPECT_EQ(after.failure_count, before.failure_count);
    EXPECT_EQ(scene.breakers->get_stats().cancelled, 1u);
    scene.expect_nothing_left();
}

TEST_F(CancelledKeyedCallTest, BeforeItWasAwaitedLeavesNothingBehind) {
    scene.open();
    {
        const auto call = scene.breakers->execute(key, scene.operation);
        const auto wait = scene.breakers->async_ready(key, asio::use_awaitable);
        const auto deferred = scene.breakers->async_ready(key, asio::deferred);
    }
    EXPECT_EQ(scene.operation.calls(), 0u);
    scene.expect_nothing_left();
}

// A caller that waits until the service is back and calls it then, ended after each of its steps

class CancelledKeyedWaitTest : public ::testing::TestWithParam<End> {
  protected:
    struct Caller {
        asio::awaitable<Result<int>> run(Scene& scene) {
            co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
            has_begun = true;
            auto waiting = scene.breakers->async_ready(key, asio::use_awaitable);
            co_await std::move(waiting);
            auto calling = scene.breakers->execute(key, scene.operation);
            co_return co_await std::move(calling);
        }
        // Until it waits.
        void start(Scene& scene) {
            auto end = [this](std::exception_ptr thrown, Result<int> result) {
                ended = thrown ? Error::from_exception(thrown) : std::move(result);
            };
            asio::co_spawn(*scene.io, run(scene), asio::bind_cancellation_slot(signal.slot(), end));
            while (!has_begun) scene.step();
        }
        asio::cancellation_signal signal;
        bool has_begun = false;
        std::optional<Result<int>> ended;
    };
    // The signal outlives what is in the context.
    struct Play {
        ~Play() { scene.io.reset(); } // before the breakers
        // Two who wait for one key.
        void begin() {
            scene.open();
            caller.start(scene);
            other.start(scene);
            scene.poll();
        }
        Caller caller, other;
        Scene scene;
    };
};

INSTANTIATE_TEST_SUITE_P(Everywhere, CancelledKeyedWaitTest,
                         ::testing::Values(End::terminal, End::partial, End::total, End::destroyed));

TEST_P(CancelledKeyedWaitTest, LeavesNothingBehindWhereverItIsEnded) {
    int ended_early = 0, cancelled = 0;
    for (int steps = 0;; ++steps) {
        Play play;
        auto& [caller, other, scene] = play;
        scene.open();
        scene.operation.takes(1s).returns(1);
        caller.start(scene);
        for (int i = 0; i < steps && !caller.ended; ++i) ASSERT_TRUE(scene.step()) << steps;
        if (caller.ended) {
            EXPECT_EQ(caller.ended->value(), 1);
            break;
        }
        ++ended_early;

        scene.end(GetParam(), caller.signal);

        const bool succeeded = caller.ended && *caller.ended; // it had, and was on the way back
        if (GetParam() != End::destroyed) {
            ASSERT_TRUE(caller.ended) << steps;
            EXPECT_TRUE(succeeded || caller.ended->error() == ErrorType::cancelled) << steps;
            cancelled += !succeeded;
        }
        scene.expect_nothing_left(succeeded);
        if (HasFailure()) FAIL() << "ended after " << steps << " steps";
    }
    EXPECT_GE(ended_early, 4) << "waiting, being ready, calling, and on the way to each";
    if (GetParam() != End::destroyed) {
        EXPECT_GE(cancelled, 4);
    }
}

TEST_P(CancelledKeyedWaitTest, LetsTheOneBehindItGoOnWhereverItIsEnded) {
    for (int steps = 0;; ++steps) {
        Play play;
        auto& [caller, other, scene] = play;
        asio::io_context elsewhere;
        scene.open();
        scene.breakers->reconfigure({.failure_threshold = 2, .success_threshold = 1, .timeout = 10s});
        scene.operation.takes(1s).returns(1).takes(1s).returns(1);
        caller.start(scene);
        bool ready = false;
        scene.breakers->async_ready(
            key, asio::bind_executor(elsewhere, [&](boost::system::error_code code) { ready = !code; }));
        for (int i = 0; i < steps && !caller.ended; ++i) ASSERT_TRUE(scene.step()) << steps;
        const bool is_over = caller.ended.has_value();

        if (!is_over) scene.end(GetParam(), caller.signal);

        for (int i = 0; i < 100 && !ready; ++i) {
            elsewhere.restart();
            if (elsewhere.poll() == 0 && scene.time.next_wake()) scene.time.advance_to(*scene.time.next_wake());
        }
        EXPECT_TRUE(ready) << "ended after " << steps << " steps";
        elsewhere.restart();
        elsewhere.poll();
        EXPECT_EQ(scene.time.sleepers(), 0u);
        scene.breakers->reset(key);
        EXPECT_EQ(scene.breakers->get_stats().keys, 0u);
        EXPECT_EQ(scene.account.used(), scene.empty);
        if (is_over) break;
    }
}

TEST_P(CancelledKeyedWaitTest, TogetherWithAllOthersOfItsKeyLeavesNothingBehind) {
    Play play;
    auto& [caller, other, scene] = play;
    play.begin();
    EXPECT_EQ(scene.time.sleepers(), 1u);

    scene.end(GetParam(), caller.signal);
    scene.end(GetParam(), other.signal);

    EXPECT_EQ(caller.ended.has_value(), GetParam() != End::destroyed);
    EXPECT_EQ(other.ended.has_value(), GetParam() != End::destroyed);
    scene.expect_nothing_left();
}

TEST_P(CancelledKeyedWaitTest, AfterTheBreakersHaveGoneIsHarmless) {
    Play play;
    auto& [caller, other, scene] = play;
    play.begin();
    scene.breakers.reset();

    scene.end(GetParam(), caller.signal);
    scene.poll();

    EXPECT_EQ(scene.account.used(), 0u);
    EXPECT_EQ(scene.time.sleepers(), 0u);
    if (GetParam() == End::destroyed) return;
    EXPECT_EQ(caller.ended->error(), ErrorType::cancelled);
    EXPECT_EQ(other.ended->error(), ErrorType::cancelled);
}

} // namespace
} // namespace velostream::keyed_breakers_test
