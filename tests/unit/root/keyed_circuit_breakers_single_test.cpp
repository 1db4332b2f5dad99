// SPDX-License-Identifier: Apache-2.0
// One key of keyed circuit breakers beside a single breaker: the same calls, waits, cancellations and changes at the
// same moments must come to the same, whatever becomes of the key's entry meanwhile.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "velostream/circuit_breaker.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

constexpr int key = 7;

struct SingleOne {
    using Breaker = CircuitBreaker<testing::ManualTime>;

    SingleOne(const CircuitBreakerConfig& config, testing::ManualTime time) : breaker("one", config, nullptr, time) {}

    auto try_acquire() { return breaker.try_acquire(); }
    template <class Handler>
    void async_ready(Handler handler) {
        breaker.async_ready(std::move(handler));
    }
    void reset() { breaker.reset(); }
    CircuitState state() const { return breaker.state(); }
    CircuitBreakerStats get_stats() const { return breaker.get_stats(); }
    std::optional<OpenReason> why_open() const { return breaker.why_open(); }

    Breaker breaker;
};

// Beside other keys, whose entries come and go too. None of them has the same place in the table of pristine keys:
// there they would share the epoch.
struct OneOfMany {
    using Breaker = KeyedCircuitBreakers<int, testing::ManualTime>;

    OneOfMany(const CircuitBreakerConfig& config, testing::ManualTime time)
        : breaker("many", {.breaker = config}, nullptr, time) {}

    auto try_acquire() {
        disturb();
        return breaker.try_acquire(key);
    }
    template <class Handler>
    void async_ready(Handler handler) {
        breaker.async_ready(key, std::move(handler));
    }
    void reset() { breaker.reset(key); }
    CircuitState state() const { return breaker.state(key); }
    CircuitBreakerStats get_stats() const { return breaker.get_stats(key); }
    std::optional<OpenReason> why_open() const { return breaker.why_open(key); }

    void disturb() {
        const int other = key + 1 + static_cast<int>(random() % 100);
        if (auto permit = breaker.try_acquire(other)) {
            if (random() % 2 == 0)
                permit->failure(Errc::connect_failed);
            else
                permit->success();
        }
    }

    Breaker breaker;
    std::mt19937_64 random{1};
};

// What is done with a breaker, and who of those who waited became ready or was told to go, in their order.
template <class One>
struct Play {
    Play(const CircuitBreakerConfig& config, testing::ManualTime time) : one(config, std::move(time)) {}

    using Permit = std::remove_cvref_t<decltype(*std::declval<One&>().try_acquire())>;

    void acquire() {
        auto permit = one.try_acquire();
        if (permit) permits.push_back(std::move(*permit));
    }
    // Of the call that began first and is still out.
    void end(int how) {
        if (permits.empty()) return;
        auto permit = std::move(permits.front());
        permits.pop_front();
        if (how == 0) permit.failure(Errc::connect_failed);
        if (how == 1) permit.ignore();
        if (how > 2) permit.success();
    }
    void wait(asio::io_context& io) {
        const auto number = signals.size();
        auto& signal = signals.emplace_back();
        one.async_ready(asio::bind_executor(
            io, asio::bind_cancellation_slot(signal.slot(), [this, number](boost::system::error_code code) {
                ends.emplace_back(number, !code);
            })));
    }
    void cancel(std::size_t choice) {
        if (!signals.empty())
            signals[signals.size() - 1 - choice % signals.size()].emit(asio::cancellation_type::terminal);
    }

    std::deque<asio::cancellation_signal> signals;
    std::vector<std::pair<std::size_t, bool>> ends;
    One one;
    std::deque<Permit> permits;
};

TEST(OneOfManyKeys, BehavesAsASingleBreakerInEverySequenceOfCallsWaitsAndChanges) {
    std::uint64_t opened = 0, ready = 0, aborted = 0;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        std::mt19937_64 random{seed};
        testing::ManualTime time;
        asio::io_context io;
        CircuitBreakerConfig config{
            .failure_threshold = 2, .success_threshold = 2, .timeout = 10s, .max_half_open_duration = 30s};
        config.sliding_window_size = 6;
        Play<SingleOne> single{config, time};
        Play<OneOfMany> many{config, time};
        const auto both = [&](auto act) {
            act(single);
            act(many);
        };
        for (int step = 0; step < 3000; ++step) {
            const auto choice = random() % 100;
            if (choice < 30)
                both([](auto& play) { play.acquire(); });
            else if (choice < 60)
                both([how = static_cast<int>(random() % 6)](auto& play) { play.end(how); });
            else if (choice < 75)
                both([&](auto& play) { play.wait(io); });
            else if (choice < 80)
                both([which = random() % 8](auto& play) { play.cancel(which); });
            else if (choice < 96)
                time.advance(Duration{random() % 4'000'000'000});
            else if (choice < 97)
                both([](auto& play) {
                    play.permits.clear(); // a key without an entry would judge them
                    play.one.reset();
                });
            else if (choice < 98) {
                config.failure_threshold = 1 + random() % 4;
                config.success_threshold = 1 + random() % 3;
                config.timeout = std::chrono::seconds{1 + random() % 10};
                both([&](auto& play) { play.one.breaker.reconfigure(config); });
            }
            if (random() % 4 != 0) { // else what was posted meets what comes next
                io.restart();
                io.poll();
            }
            ASSERT_EQ(single.ends, many.ends) << "seed " << seed << ", step " << step;
            ASSERT_EQ(single.permits.size(), many.permits.size()) << "seed " << seed << ", step " << step;
            const auto state = single.one.state();
            ASSERT_EQ(state, many.one.state()) << "seed " << seed << ", step " << step;
            if (state == CircuitState::closed) {
                ASSERT_EQ(single.one.get_stats().failure_count, many.one.get_stats().failure_count);
            } else {
                ASSERT_EQ(single.one.get_stats().next_probe_at, many.one.get_stats().next_probe_at);
                const auto why = single.one.why_open(), same = many.one.why_open();
                ASSERT_EQ(why->cause, same->cause);
                ASSERT_EQ(why->at, same->at);
                ASSERT_EQ(why->counts.failures, same->counts.failures); // its window begins with the first of them
                ASSERT_EQ(why->last_error.code(), same->last_error.code());
            }
        }
        opened += single.one.get_stats().opened_count;
        for (const auto& [number, is_ready] : many.ends) ++(is_ready ? ready : aborted);
        many.permits.clear();
        many.one.reset();
        io.restart();
        io.poll();
        EXPECT_EQ(many.one.get_stats().window_calls, 0u);
    }
    EXPECT_GT(opened, 1000u);
    EXPECT_GT(ready, 10'000u);
    EXPECT_GT(aborted, 500u);
}

} // namespace
} // namespace velostream
