// SPDX-License-Identifier: Apache-2.0
// Chaos policies that calls of several threads share, switched meanwhile by another one.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <exception>
#include <thread>

#include "velostream/pipeline.hpp"
#include "velostream/testing/chaos_fault.hpp"
#include "velostream/testing/chaos_hang.hpp"
#include "velostream/testing/chaos_latency.hpp"
#include "velostream/testing/chaos_result.hpp"
#include "velostream/timeout.hpp"

namespace velostream::testing {
namespace {

using namespace std::chrono_literals;

constexpr int callers = 16, rounds = 200;
constexpr std::uint64_t all = callers * rounds;

template <class Operation>
void call_from_everywhere(Operation call) {
    asio::thread_pool pool{4};
    auto caller = [&]() -> asio::awaitable<void> {
        for (int i = 0; i < rounds; ++i) {
            auto calling = call();
            co_await std::move(calling);
        }
    };
    for (int i = 0; i < callers; ++i)
        asio::co_spawn(pool, caller(), [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
    pool.join(); // hangs if a call never ends
}

asio::awaitable<int> returns_one() {
    co_return 1;
}

TEST(ChaosUnderThreads, StrikesAsManyTriesAsInASequence) {
    const ChaosConfig config{.injection_rate = 0.3, .seed = 7};
    ChaosFault shared{config, Errc::connect_failed}, alone{config, Errc::connect_failed};
    std::atomic<std::uint64_t> failed{0};

    call_from_everywhere([&]() -> asio::awaitable<void> {
        Pipeline guarded{shared};
        auto calling = guarded.execute(&returns_one);
        const auto result = co_await std::move(calling);
        failed += result.has_error() ? 1 : 0;
    });

    asio::io_context io;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            Pipeline guarded{alone};
            for (std::uint64_t i = 0; i < all; ++i) {
                auto calling = guarded.execute(&returns_one);
                co_await std::move(calling);
            }
        },
        [](std::exception_ptr problem) { EXPECT_FALSE(problem); });
    io.run();
    EXPECT_EQ(shared.get_stats().tries, all);
    EXPECT_EQ(shared.get_stats().injected, failed);
    EXPECT_EQ(shared.get_stats().injected, alone.get_stats().injected);
}

TEST(ChaosUnderThreads, AllOfThemMayBeSwitchedWhileCallsRun) {
    Timeout each{1ms};
    ChaosFault refused{{.injection_rate = 0.2, .seed = 1}, Errc::connect_failed};
    ChaosResult two{{.injection_rate = 0.2, .seed = 2}, [] { return 2; }};
    ChaosLatency slow{{.injection_rate = 0.1, .seed = 3}, 0us, 100us};
    ChaosHang hang{{.injection_rate = 0.02, .seed = 4}};
    Pipeline guarded{each, refused, two, slow, hang};
    std::atomic<std::uint64_t> ones{0}, twos{0}, failed{0}, timed_out{0};
    std::atomic<bool> is_over{false};
    std::thread switching{[&] {
        const std::array<Chaos*, 4> policies{&refused, &two, &slow, &hang};
        for (unsigned i = 0; !is_over; ++i) {
            policies[i % 4]->set_enabled(i % 3 != 0);
            policies[i % 4]->set_injection_rate(i % 5 == 0 ? 0.05 : 0.01);
            const auto stats = policies[i % 4]->get_stats();
            EXPECT_LE(stats.injected, stats.tries);
            std::this_thread::yield();
        }
    }};

    call_from_everywhere([&]() -> asio::awaitable<void> {
        auto calling = guarded.execute(&returns_one);
        const auto result = co_await std::move(calling);
        if (!result)
            ++(result.error() == Errc::connect_failed ? failed : timed_out);
        else
            ++(*result == 1 ? ones : twos);
    });
    is_over = true;
    switching.join();

    EXPECT_EQ(ones + twos + failed + timed_out, all);
    EXPECT_EQ(refused.get_stats().tries, all);
    EXPECT_EQ(refused.get_stats().injected, failed);
    EXPECT_EQ(two.get_stats().injected, twos);
    EXPECT_GE(timed_out, hang.get_stats().injected) << "and plain operations that the timeout met";
    EXPECT_EQ(each.get_stats().timed_out, timed_out);
}

} // namespace
} // namespace velostream::testing
