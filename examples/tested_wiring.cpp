// SPDX-License-Identifier: Apache-2.0
// The test of a program's own wiring: an hour of virtual traffic under chaos, with an outage in the middle. Three ways
// to wire the same policies are tried, of which two are wrong; ends with 0 if the test finds just these.
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <iostream>
#include <velostream/pipeline.hpp>
#include <velostream/testing/chaos_fault.hpp>
#include <velostream/testing/chaos_hang.hpp>
#include <velostream/testing/chaos_latency.hpp>
#include <velostream/testing/virtual_traffic.hpp>
#include <velostream/timeout.hpp>

namespace {

using namespace std::chrono_literals;
using velostream::CircuitBreaker;
using velostream::CircuitState;
using velostream::Pipeline;
using velostream::Result;
using velostream::RetryExecutor;
using velostream::Timeout;
using velostream::testing::ChaosFault;
using velostream::testing::ChaosHang;
using velostream::testing::ChaosLatency;
using velostream::testing::ManualTime;
using velostream::testing::RunSeed;
using velostream::testing::TrafficReport;
using velostream::testing::VirtualTraffic;
namespace asio = boost::asio;

// What the program puts around its calls of the price service. It runs by SteadyTime, its test by ManualTime.
template <class Time>
struct Policies {
    explicit Policies(Time clock) : time(clock) {}

    Time time;
    Timeout<Time> whole{10s, time}, each{2s, time};
    RetryExecutor<Time> retry{{.max_retries = 3}, nullptr, time};
    CircuitBreaker<Time> breaker{"prices",
                                 {.failure_threshold = 20,
                                  .success_threshold = 1,
                                  .timeout = 10s,
                                  .sliding_window_size = 20,
                                  .failure_rate_threshold = 0.5},
                                 nullptr,
                                 time};
};

// The wiring: the line that is tested. What a test adds stands for the service, so it goes innermost.
constexpr auto guard = [](auto& policies, auto&... innermost) {
    return Pipeline{policies.whole, policies.retry, policies.each, policies.breaker, innermost...};
};

// Two that look as good.
constexpr auto breaker_outside = [](auto& policies, auto&... innermost) {
    return Pipeline{policies.whole, policies.breaker, policies.retry, policies.each, innermost...};
};
constexpr auto without_timeouts = [](auto& policies, auto&... innermost) {
    return Pipeline{policies.retry, policies.breaker, innermost...};
};

asio::awaitable<Result<int>> price_of_tea() {
    co_return 300;
}

template <class Wiring>
TrafficReport run_an_hour(Wiring wiring) {
    asio::io_context io;
    ManualTime time;
    const auto seed = RunSeed::from_environment();
    Policies policies{time};

    // The service as it is on a bad day.
    ChaosFault outage{{.injection_rate = 1, .enabled = false}, asio::error::connection_refused};
    ChaosFault reset{{.injection_rate = 0.02, .seed = seed.of("reset")}, asio::error::connection_reset};
    ChaosLatency slow{{.injection_rate = 0.2, .seed = seed.of("slow")}, 100ms, 1500ms, time};
    ChaosHang hang{{.injection_rate = 0.005, .seed = seed.of("hang")}, time};
    auto guarded = wiring(policies, outage, reset, slow, hang);

    VirtualTraffic traffic{io, time, {.duration = 1h, .calls = 5, .period = 1s, .seed = seed}};
    bool is_closed_again = false;
    traffic.at(20min, [&] { outage.set_enabled(true); });
    traffic.at(30min, [&] { outage.set_enabled(false); });
    traffic.at(31min, [&] { is_closed_again = policies.breaker.state() == CircuitState::closed; });

    traffic.expect("nobody waits longer than 10 s", [](const TrafficReport& report) { return report.longest <= 10s; });
    traffic.expect("outside of the outage calls succeed",
                   [](const TrafficReport& report) { return report.failed <= 10min / 1s * 5 + 100; });
    traffic.expect("the service is left alone while it is away",
                   [&](const TrafficReport&) { return outage.get_stats().injected <= 100; });
    traffic.expect("a minute after the outage all is as before", [&](const TrafficReport&) { return is_closed_again; });

    return traffic.run([&] { return guarded.execute(&price_of_tea); });
}

} // namespace

int main() {
    const auto right = run_an_hour(guard);
    std::cout << right;

    std::cout << "and two that are wrong:\n";
    const auto too_many_calls = run_an_hour(breaker_outside);
    const auto without_end = run_an_hour(without_timeouts);

    const bool are_found = !too_many_calls.passed() && !without_end.passed();
    std::cout << (right.passed() && are_found ? "the test tells them apart\n" : "the test is no good\n");
    return right.passed() && are_found ? 0 : 1;
}
