// SPDX-License-Identifier: Apache-2.0
// Who waits for a circuit is charged to the breaker's account.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <optional>

#include "support/run_coroutine.hpp"
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
    auto ready(auto token) { return breaker.async_ready(token); }
};
struct Keyed {
    KeyedCircuitBreakers<int, ManualTime> breakers;

    Keyed(ManualTime time, MemoryAccount account)
        : breakers{"shops", {.breaker = config, .max_keys = 64}, nullptr, time, {}, std::move(account)} {}
    void fail() { breakers.try_acquire(1)->failure(Errc::connect_failed); }
    void close() { breakers.force_close(1); }
    void wait(auto&& token) { breakers.async_ready(1, std::forward<decltype(token)>(token)); }
    auto ready(auto token) { return breakers.async_ready(1, token); }
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
        return asio::bind_executor(*io, [this](boost::system::error_code code) {
            ++ended;
            if (code == Errc::memory_limit_exceeded) ++refused;
        });
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
    int ended = 0, refused = 0;
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

TYPED_TEST(CircuitBreakerAccountsTest, WhereThereIsNoRoomAWaitIsRefusedThroughItsExecutorAndNobodyWaits) {
    const auto all = this->account.try_reserve(this->account.available());
    const auto full = this->account.used();

    this->wait();

    EXPECT_EQ(this->ended, 0) << "inside of the call";
    this->poll();
    EXPECT_EQ(this->ended, 1);
    EXPECT_EQ(this->refused, 1);
    EXPECT_EQ(this->account.used(), full);
    this->kind->close();
    this->poll();
    EXPECT_EQ(this->ended, 2) << "the one who waited before";
    EXPECT_EQ(this->refused, 1);
}

TYPED_TEST(CircuitBreakerAccountsTest, ACoroutineHearsThatThereIsNoRoomAndGoesOn) {
    auto wait_for_room = [this](auto token) -> asio::awaitable<Error> {
        try {
            auto waiting = this->kind->ready(token);
            co_await std::move(waiting);
        } catch (...) {
            co_return Error::from_exception(std::current_exception());
        }
        co_return Error{};
    };
    auto all = this->account.try_reserve(this->account.available());

    EXPECT_EQ(testing::run(*this->io, this->time, wait_for_room(asio::use_awaitable)), Errc::memory_limit_exceeded);
    EXPECT_EQ(testing::run(*this->io, this->time, wait_for_room(asio::deferred)), Errc::memory_limit_exceeded);

    all->release();
    const auto waits = testing::start(*this->io, wait_for_room(asio::use_awaitable));
    EXPECT_FALSE(waits.ended());
    this->kind->close();
    this->poll();
    EXPECT_FALSE(waits.value().code());
}

TYPED_TEST(CircuitBreakerAccountsTest, WhoIsRefusedMayOwnTheSignalOfHisWait) {
    const auto all = this->account.try_reserve(this->account.available());
    auto signal = std::make_shared<asio::cancellation_signal>();
    const auto slot = signal->slot();
    auto owner = asio::bind_executor(*this->io,
                                     [this, kept = std::move(signal)](boost::system::error_code) { ++this->refused; });

    this->kind->wait(asio::bind_cancellation_slot(slot, std::move(owner)));
    this->poll();

    EXPECT_EQ(this->refused, 1);
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
