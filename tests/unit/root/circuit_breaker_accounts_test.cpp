// SPDX-License-Identifier: Apache-2.0
// Who waits for a circuit is charged to the breaker's account.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "velostream/circuit_breaker.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

constexpr CircuitBreakerConfig config{.failure_threshold = 1, .success_threshold = 1, .timeout = 10s};
constexpr int waiters = 1000;
constexpr Bytes most_for_a_waiter = 512;

struct Single {
    CircuitBreaker<ManualTime> breaker;

    Single(ManualTime time, MemoryAccount account) : breaker{config, nullptr, time, {}, std::move(account)} {}
    void fail() { breaker.try_acquire()->failure(Errc::connect_failed); }
    void close() { breaker.force_close(); }
    void wait(auto&& token) { breaker.async_ready(std::forward<decltype(token)>(token)); }
};
struct Keyed {
    KeyedCircuitBreakers<int, ManualTime> breakers;

    Keyed(ManualTime time, MemoryAccount account)
        : breakers{"shops", {.breaker = config, .max_keys = 64}, nullptr, time, {}, std::move(account)} {}
    void fail() { breakers.try_acquire(1)->failure(Errc::connect_failed); }
    void close() { breakers.force_close(1); }
    void wait(auto&& token) { breakers.async_ready(1, std::forward<decltype(token)>(token)); }
};

template <class Kind>
class CircuitBreakerAccountsTest : public ::testing::Test {
  protected:
    CircuitBreakerAccountsTest() {
        kind->fail();
        wait(); // for the first there is more, once
        empty = account.used();
    }
    auto waiter() {
        return asio::bind_executor(*io, [this](boost::system::error_code) { ++ended; });
    }
    void wait() { kind->wait(waiter()); }
    void poll() {
        io->restart();
        io->poll();
    }

    MemoryAccount account{"traffic", 100 * 1024 * 1024};
    ManualTime time;
    std::optional<Kind> kind{std::in_place, time, account};
    std::optional<asio::io_context> io{std::in_place};
    Bytes empty = 0;
    int ended = 0;
};
using Kinds = ::testing::Types<Single, Keyed>;
TYPED_TEST_SUITE(CircuitBreakerAccountsTest, Kinds);

TYPED_TEST(CircuitBreakerAccountsTest, WhoWaitsIsChargedUntilTheCircuitCloses) {
    for (int i = 0; i < waiters; ++i) this->wait();
    EXPECT_GE(this->account.used(), this->empty + waiters * 64);
    EXPECT_LE(this->account.used(), this->empty + waiters * most_for_a_waiter);

    this->kind->close();
    this->poll();

    EXPECT_EQ(this->ended, waiters + 1);
    EXPECT_LT(this->account.used(), this->empty);
}

TYPED_TEST(CircuitBreakerAccountsTest, OrIsCancelled) {
    asio::cancellation_signal cancel;
    this->kind->wait(asio::bind_cancellation_slot(cancel.slot(), this->waiter()));
    EXPECT_GT(this->account.used(), this->empty);

    cancel.emit(asio::cancellation_type::total);
    this->poll();

    EXPECT_EQ(this->ended, 1);
    EXPECT_EQ(this->account.used(), this->empty);
}

TYPED_TEST(CircuitBreakerAccountsTest, OrItsContextEnds) {
    {
        asio::io_context short_lived;
        this->kind->wait(asio::bind_executor(short_lived, [](boost::system::error_code) {}));
        EXPECT_GT(this->account.used(), this->empty);
    }

    EXPECT_EQ(this->account.used(), this->empty);
}

TYPED_TEST(CircuitBreakerAccountsTest, OrTheBreakerEnds) {
    this->wait();

    this->kind.reset();
    this->poll();

    EXPECT_EQ(this->ended, 2);
    EXPECT_EQ(this->account.used(), 0u);
}

TYPED_TEST(CircuitBreakerAccountsTest, WhereThereIsNoRoomNobodyWaits) {
    const auto all = this->account.try_reserve(this->account.available());

    EXPECT_THROW(this->wait(), MemoryRefusedException);

    this->kind->close();
    this->poll();
    EXPECT_EQ(this->ended, 1);
}

TYPED_TEST(CircuitBreakerAccountsTest, WhoIsReadyAtOnceIsChargedNothing) {
    this->kind->close();
    this->poll();
    const auto all = this->account.try_reserve(this->account.available());

    this->wait();
    this->poll();

    EXPECT_EQ(this->ended, 2);
    EXPECT_EQ(this->account.refusals(), 0u);
}

} // namespace
} // namespace velostream
