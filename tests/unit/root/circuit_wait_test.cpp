// SPDX-License-Identifier: Apache-2.0
#include "velostream/circuit_wait.hpp"

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <optional>

#include "support/run_coroutine.hpp"
#include "velostream/circuit_breaker.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

class CircuitWaitTest : public ::testing::Test {
  protected:
    // What the wait ended with; no error if that was success.
    asio::awaitable<Error> wait() {
        auto waiting = circuit.until_ready();
        const auto ready = co_await std::move(waiting);
        co_return ready ? Error{} : ready.error();
    }
    void poll() {
        io->restart();
        io->poll();
    }

    std::optional<asio::io_context> io{std::in_place};
    ManualTime time;
    const MemoryAccount account{"traffic", 1024 * 1024};
    CircuitBreaker<ManualTime> breaker{
        "database", {.failure_threshold = 1, .success_threshold = 1, .timeout = 10s}, nullptr, time, {}, account};
    const CircuitWait circuit{breaker};
};

TEST_F(CircuitWaitTest, IsOpenWhereNoCallIsAdmittedAndNoProbeIsDue) {
    EXPECT_FALSE(circuit.is_open());
    breaker.force_open();
    EXPECT_TRUE(circuit.is_open());
    breaker.force_close();
    EXPECT_FALSE(circuit.is_open());
    breaker.try_acquire()->failure(Errc::connect_failed);
    EXPECT_TRUE(circuit.is_open());
    time.advance(10s);
    EXPECT_FALSE(circuit.is_open());
}

TEST_F(CircuitWaitTest, ReturnsWhenACallWouldBeAdmitted) {
    const auto at_once = testing::start(*io, wait());
    EXPECT_FALSE(at_once.value().code());
    breaker.try_acquire()->failure(Errc::connect_failed);
    const auto waits = testing::start(*io, wait());
    time.advance(10s - 1ns);
    poll();
    EXPECT_FALSE(waits.ended());

    time.advance(1ns);
    poll();

    EXPECT_FALSE(waits.value().code());
}

TEST_F(CircuitWaitTest, EndsWhenItIsCancelledAndLeavesNothingBehind) {
    breaker.force_open();
    const auto empty = account.used();
    for (const auto kind :
         {asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total}) {
        const auto waits = testing::start(*io, wait());
        EXPECT_FALSE(waits.ended());
        EXPECT_GT(account.used(), empty);

        waits.cancel(kind);
        poll();

        EXPECT_EQ(waits.value(), Errc::cancelled);
        EXPECT_EQ(account.used(), empty);
        EXPECT_EQ(time.sleepers(), 0u);
    }
}

TEST_F(CircuitWaitTest, EndsAtOnceWhereItWasCancelledBefore) {
    breaker.force_open();
    const auto empty = account.used();
    auto waits_late = [this]() -> asio::awaitable<Error> {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto executor = co_await asio::this_coro::executor;
        auto sleep = async_sleep_until(time, executor, time.now() + 1s, asio::as_tuple(asio::deferred));
        co_await std::move(sleep);
        auto waiting = wait();
        co_return co_await std::move(waiting);
    };
    const auto waits = testing::start(*io, waits_late());

    waits.cancel(asio::cancellation_type::terminal);
    poll();

    EXPECT_EQ(waits.value(), Errc::cancelled);
    EXPECT_EQ(account.used(), empty);
}

TEST_F(CircuitWaitTest, GoesWithItsContextAndLeavesNothingBehind) {
    breaker.try_acquire()->failure(Errc::connect_failed);
    const auto empty = account.used();
    const auto waits = testing::start(*io, wait());
    EXPECT_GT(account.used(), empty);

    io.reset();

    EXPECT_FALSE(waits.ended());
    EXPECT_EQ(account.used(), empty);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(CircuitWaitTest, GoesWithItsContextWhileTheNewsIsOnItsWay) {
    breaker.force_open();
    const auto waits = testing::start(*io, wait());
    breaker.force_close();

    io.reset();

    EXPECT_FALSE(waits.ended());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(CircuitWaitTest, EndsWhenTheBreakerEnds) {
    std::optional<CircuitBreaker<ManualTime>> ending{std::in_place, CircuitBreakerConfig{}, nullptr, time};
    ending->force_open();
    const CircuitWait on_ending{*ending};
    auto waiting = [&on_ending]() -> asio::awaitable<Error> {
        auto until = on_ending.until_ready();
        const auto ready = co_await std::move(until);
        co_return ready ? Error{} : ready.error();
    };
    const auto waits = testing::start(*io, waiting());

    ending.reset();
    poll();

    EXPECT_EQ(waits.value(), Errc::cancelled);
}

TEST_F(CircuitWaitTest, WhereTheBreakersAccountIsFullAWaitIsRefusedAndNothingIsLeft) {
    breaker.force_open();
    auto all = account.try_reserve(account.available());
    ASSERT_TRUE(all);
    const auto full = account.used();

    const auto refused = testing::start(*io, wait());

    EXPECT_EQ(refused.value(), Errc::memory_limit_exceeded);
    EXPECT_EQ(account.used(), full);
    EXPECT_EQ(time.sleepers(), 0u);

    all->release();
    const auto waits = testing::start(*io, wait());
    EXPECT_FALSE(waits.ended());
    breaker.force_close();
    poll();
    EXPECT_FALSE(waits.value().code());
}

TEST_F(CircuitWaitTest, WhereTheBreakersAccountIsFullAClosedCircuitIsReadyAllTheSame) {
    const auto all = account.try_reserve(account.available());

    const auto ready = testing::start(*io, wait());

    EXPECT_FALSE(ready.value().code());
    EXPECT_EQ(account.refusals(), 0u);
}

} // namespace
} // namespace velostream
