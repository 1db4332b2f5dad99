// SPDX-License-Identifier: Apache-2.0
// A circuit breaker under several threads that call, fail, give up, set it by hand and wait for it.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <random>
#include <thread>

#include "support/flapping_breakers.hpp"
#include "support/in_threads.hpp"
#include "velostream/circuit_breaker.hpp"

namespace velostream::breaker_test {
namespace {

using namespace std::chrono_literals;

constexpr int thread_count = 4;

void fail_every_second_of_ten(CircuitBreaker<>& breaker) {
    for (int i = 0; i < 10; ++i) {
        auto permit = breaker.try_acquire();
        ASSERT_TRUE(permit);
        if (i % 2 == 0)
            permit->failure(Errc::connect_failed);
        else
            permit->success();
    }
}

TEST(BreakerUnderThreads, NeverAdmitsMoreProbesThanItsLimit) {
    constexpr std::uint16_t limit = 3;
    BreakerMachine machine{
        {.failure_threshold = 2, .success_threshold = limit, .timeout = 1ns, .max_half_open_duration = 1h}};
    // Probes that are out, by epoch. Counted after they are admitted and until before they are told: never too many.
    static std::array<std::atomic<int>, 1 << 16> out;
    std::atomic<int> probes{0}, most{0};
    testing::in_threads(thread_count, [&](int seed) {
        std::mt19937 random{static_cast<unsigned>(seed)};
        const SteadyTime time;
        // Until the threads have met often enough; far more rounds than that takes.
        for (int i = 0; i < 10'000'000 && (probes < 2000 || most < 2); ++i) {
            const auto permit = machine.try_acquire(time.now()).permit;
            if (!permit) continue;
            auto& of_epoch = out[permit->epoch % out.size()];
            if (permit->probe) {
                ++probes;
                const int now_out = ++of_epoch;
                EXPECT_LE(now_out, limit);
                if (now_out > most) most = now_out;
            }
            if (random() % 8 == 0) std::this_thread::yield();
            if (permit->probe) --of_epoch;
            constexpr CallOutcomeKind kinds[] = {CallOutcomeKind::success, CallOutcomeKind::success,
                                                 CallOutcomeKind::failure, CallOutcomeKind::cancelled};
            machine.record(*permit, kinds[random() % 4], time);
            machine.publish_transitions([](const BreakerTransition&) {});
        }
    });

    EXPECT_GE(probes, 2000);
    EXPECT_GT(most, 1) << "the threads never met";
}

TEST(BreakerUnderThreads, PublishesEveryTransitionOnceAndInOrder) {
    CircuitBreaker breaker{"stress", {.failure_threshold = 3, .success_threshold = 2, .timeout = 10us}};
    testing::ToldTransitions told;
    breaker.on_state_change(std::ref(told));
    testing::in_threads(thread_count, [&](int seed) {
        std::mt19937 random{static_cast<unsigned>(seed)};
        for (int i = 0; i < 20'000; ++i) {
            auto permit = breaker.try_acquire();
            switch (random() % 5) {
                case 0:
                    if (permit) permit->failure(Errc::connect_failed);
                    break;
                case 1:
                    if (permit) permit->ignore();
                    break;
                case 2:
                    break; // abandoned
                default:
                    if (permit) permit->success();
            }
            if (random() % 2000 == 0) breaker.force_open();
            if (random() % 500 == 0) breaker.force_close();
            if (random() % 1000 == 0) breaker.reset();
            if (random() % 100 == 0) breaker.get_stats();
        }
    });

    EXPECT_EQ(breaker.get_stats().opened_count, told.opened);
    EXPECT_GT(told.count, 100u);
}

TEST(BreakerUnderThreads, LosesNoOutcome) {
    CircuitBreaker breaker{"stress", {.failure_threshold = 100'000, .sliding_window_size = 100'000}};
    constexpr int calls = 20'000;
    testing::in_threads(thread_count, [&](int) {
        for (int i = 0; i < calls; ++i) {
            auto permit = breaker.try_acquire();
            if (i % 4 == 0)
                permit->failure(Errc::connect_failed);
            else
                permit->success();
        }
    });

    EXPECT_EQ(breaker.get_stats().window_calls, static_cast<std::size_t>(thread_count * calls));
    EXPECT_EQ(breaker.get_stats().failure_count, static_cast<std::size_t>(thread_count * calls / 4));
}

TEST(BreakerUnderThreads, OpensAtTheThresholdWhoeverFails) {
    for (int round = 0; round < 300; ++round) {
        CircuitBreaker breaker{"stress",
                               {.failure_threshold = thread_count * 5, .minimum_throughput = thread_count * 10}};
        std::atomic<int> ready{0};
        testing::in_threads(thread_count, [&](int) {
            ++ready;
            while (ready < thread_count) {
            }
            fail_every_second_of_ten(breaker);
        });
        // The last of the outcomes, whichever it was, completed the minimum and had all failures before it.
        ASSERT_EQ(breaker.state(), CircuitState::open) << "round " << round;
    }
}

TEST(BreakerUnderThreads, OpensAtTheThresholdAlsoInAWindowOfTime) {
    for (int round = 0; round < 300; ++round) {
        CircuitBreaker breaker{"stress",
                               {.failure_threshold = thread_count * 5,
                                .minimum_throughput = thread_count * 10,
                                .sliding_window_duration = 1h}};
        testing::in_threads(thread_count, [&](int) { fail_every_second_of_ten(breaker); });
        ASSERT_EQ(breaker.state(), CircuitState::open) << "round " << round;
    }
}

TEST(BreakerUnderThreads, AnotherConfigurationLosesNoOutcomeThatFitsIntoItsWindow) {
    constexpr std::size_t many = 1'000'000, enough = 1000;
    constexpr CircuitBreakerConfig counted{.failure_threshold = many, .sliding_window_size = many};
    constexpr CircuitBreakerConfig timed{.failure_threshold = many, .sliding_window_duration = 1h};
    constexpr CircuitBreakerConfig finer{
        .failure_threshold = many, .sliding_window_duration = 2h, .sliding_window_buckets = 1000};
    CircuitBreaker breaker{"stress", counted};
    std::atomic<bool> is_done{false};
    std::atomic<std::size_t> calls{0}, failures{0};
    testing::in_threads(thread_count, [&](int thread) {
        if (thread == 0) {
            const CircuitBreakerConfig* configs[] = {&timed, &counted, &finer, &timed, &finer, &counted};
            // Until the others have called often enough; their calls, at most 750 000 of them, fit into each window.
            for (int i = 0; i < 300 || calls <= enough; ++i) {
                breaker.reconfigure(*configs[i % 6]);
                std::this_thread::yield();
            }
            is_done = true;
            return;
        }
        for (std::size_t i = 0; i < many / thread_count && !is_done; ++i) {
            auto permit = breaker.try_acquire();
            if (i % 4 == 0) {
                permit->failure(Errc::connect_failed);
                ++failures;
            } else {
                permit->success();
            }
            ++calls;
        }
    });

    EXPECT_EQ(breaker.get_stats().window_calls, calls);
    EXPECT_EQ(breaker.get_stats().failure_count, failures);
}

TEST(BreakerUnderThreads, FlapsUnderEveryConfigurationWithoutForgettingATransition) {
    CircuitBreaker breaker{"stress", {.failure_threshold = 3, .success_threshold = 2, .timeout = 10us}};
    testing::ToldTransitions told;
    breaker.on_state_change(std::ref(told));
    testing::in_threads(thread_count, [&](int seed) {
        std::mt19937 random{static_cast<unsigned>(seed)};
        for (int i = 0; i < 20'000 || told.opened <= 50; ++i) { // threads may hardly meet on a busy machine
            auto permit = breaker.try_acquire();
            const auto choice = random() % 5;
            if (permit && choice == 0) permit->failure(Errc::connect_failed);
            if (permit && choice > 1) permit->success();
            if (random() % 100 != 0) continue;
            breaker.reconfigure(testing::flapping_config(random));
        }
    });

    EXPECT_EQ(breaker.get_stats().opened_count, told.opened);
}

TEST(BreakerUnderThreads, EveryWaiterBecomesReadyWhileTheCircuitFlaps) {
    asio::thread_pool pool{thread_count};
    CircuitBreaker breaker{"stress", {.failure_threshold = 2, .success_threshold = 2, .timeout = 200us}};
    constexpr int callers = 32, calls = 60;
    std::atomic<int> done{0};
    auto caller = [&](unsigned seed) -> asio::awaitable<void> {
        std::mt19937 random{seed};
        for (int i = 0; i < calls; ++i) {
            auto fails_often = [&]() -> asio::awaitable<Result<int>> {
                if (random() % 3 == 0) co_return Errc::connect_failed;
                co_return 1;
            };
            for (;;) {
                co_await breaker.async_ready(asio::deferred);
                auto result = co_await breaker.execute(fails_often);
                if (result || result.error() != Errc::circuit_open) break;
            }
        }
        ++done;
    };
    for (unsigned i = 0; i < callers; ++i) asio::co_spawn(pool, caller(i), asio::detached);
    pool.join(); // hangs if a waiter is forgotten

    EXPECT_EQ(done, callers);
}

} // namespace
} // namespace velostream::breaker_test
