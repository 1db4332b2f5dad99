// SPDX-License-Identifier: Apache-2.0
// What calls of keyed circuit breakers allocate, and what becomes of them without memory. Nothing is counted and
// nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>

#include "support/allocation_count.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::allocations;
using testing::with_each_request_failing;

class KeyedAllocationsTest : public ::testing::Test {
  protected:
    void fail(int key) { breakers.try_acquire(key)->failure(network); }

    const Error network = Errc::connect_failed;
    testing::ManualTime time;
    KeyedCircuitBreakers<int, testing::ManualTime> breakers{
        "shops", {.breaker = {.failure_threshold = 3, .timeout = 10s, .sliding_window_size = 100}}, nullptr, time};
};

TEST_F(KeyedAllocationsTest, CallsOfPristineFailingAndOpenKeysAllocateNothing) {
    fail(1);
    for (int i = 0; i < 3; ++i) fail(2);
    ASSERT_EQ(breakers.state(2), CircuitState::open);

    const auto before = allocations;
    for (int i = 0; i < 50; ++i) {
        breakers.try_acquire(0)->success();
        breakers.try_acquire(1)->success();
        static_cast<void>(breakers.try_acquire(2).error());
    }

    EXPECT_EQ(allocations, before);
}

TEST_F(KeyedAllocationsTest, AFailureWithoutMemoryForAnEntryIsCountedAsUntracked) {
    int key = 100;
    const auto failures = with_each_request_failing([&] { fail(key); }, [&] { ++key; });

    EXPECT_GE(failures, 2);
    EXPECT_EQ(breakers.get_stats().untracked, static_cast<std::uint64_t>(failures));
}

TEST_F(KeyedAllocationsTest, AChangeThatCouldNotBeToldIsToldWithTheKeysNext) {
    int told = 0;
    auto last = CircuitState::closed;
    breakers.on_state_change([&](const CircuitStateChanged& change) {
        EXPECT_EQ(change.from, last);
        last = change.to;
        ++told;
    });
    int opened = 0;
    const auto open = [&] {
        for (int i = 0; i < 3; ++i) {
            auto permit = breakers.try_acquire(7);
            if (permit) permit->failure(network);
        }
    };
    const auto failures = with_each_request_failing(open, [&] {
        breakers.reset(7);
        ++opened;
    });
    breakers.reset(7);
    open();
    breakers.reset(7);

    EXPECT_GE(failures, 2);
    EXPECT_EQ(last, CircuitState::closed);
    EXPECT_EQ(breakers.get_stats().not_closed, 0u);
    EXPECT_EQ(breakers.get_stats().keys, 0u);
    EXPECT_GE(told, 2);
}

TEST_F(KeyedAllocationsTest, WhyOpenIsKnownAndForgottenAlsoWhereAChangeCouldNotBeTold) {
    asio::io_context io;
    KeyedCircuitBreakers<int, testing::ManualTime> named{
        "a name that is too long for a string without memory", {.breaker = {.failure_threshold = 3}}, nullptr, time};
    const auto open = [&] {
        for (int i = 0; i < 3; ++i) {
            auto permit = named.try_acquire(7);
            if (permit) permit->failure(network);
        }
    };
    const auto failures = with_each_request_failing(open, [&] {
        const bool is_open = named.state(7) == CircuitState::open;
        EXPECT_EQ(named.why_open(7).has_value(), is_open);
        named.async_ready(7, asio::bind_executor(io, [](boost::system::error_code) {})); // keeps the entry
        named.reset(7);
        EXPECT_FALSE(named.why_open(7));
        io.restart();
        io.poll();
    });
    EXPECT_GE(failures, 2);
}

} // namespace
} // namespace velostream
#endif
