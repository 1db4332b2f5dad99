// SPDX-License-Identifier: Apache-2.0
#include "holding.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "support/run_coroutine.hpp"
#include "velostream/circuit_breaker.hpp"

namespace orders {
namespace {

using namespace std::chrono_literals;
using velostream::Errc;
using velostream::Error;

class HoldingTest : public ::testing::Test {
  protected:
    HoldingTest() { breaker.force_open(); }

    // What it threw; no error if it returned.
    asio::awaitable<Error> hold() {
        try {
            auto holding = until_worth_a_try(breaker);
            co_await std::move(holding);
        } catch (...) {
            co_return Error::from_exception(std::current_exception());
        }
        co_return Error{};
    }
    void poll() {
        io.restart();
        io.poll();
    }

    asio::io_context io;
    velostream::testing::ManualTime time;
    const velostream::MemoryAccount account{"breakers", 1024 * 1024};
    velostream::CircuitBreaker<velostream::testing::ManualTime> breaker{"totals", {}, nullptr, time, {}, account};
};

TEST_F(HoldingTest, ALineIsHeldUntilTheCircuitAdmitsAnotherTry) {
    const auto holds = velostream::testing::start(io, hold());
    time.advance(1h);
    poll();
    EXPECT_FALSE(holds.ended());

    breaker.force_close();
    poll();

    EXPECT_FALSE(holds.value().code());
}

TEST_F(HoldingTest, WhereTheBreakersAccountIsFullItRestsBeforeItIsTriedAgain) {
    const auto all = account.try_reserve(account.available());
    const auto holds = velostream::testing::start(io, hold());
    time.advance(10ms - 1ns);
    poll();
    EXPECT_FALSE(holds.ended());

    time.advance(1ns);
    poll();

    EXPECT_FALSE(holds.value().code());
    EXPECT_TRUE(account.refusals() > 0);
}

TEST_F(HoldingTest, ACancelledLineRestsNoMore) {
    const auto holds = velostream::testing::start(io, hold());

    holds.cancel(asio::cancellation_type::terminal);
    poll();

    EXPECT_EQ(holds.value(), velostream::ErrorType::cancelled);
    EXPECT_EQ(time.sleepers(), 0u);
}

} // namespace
} // namespace orders
