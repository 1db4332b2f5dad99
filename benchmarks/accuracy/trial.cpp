// SPDX-License-Identifier: Apache-2.0
#include "accuracy/trial.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "velostream/pipeline.hpp"
#include "velostream/testing/virtual_traffic.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

using Breaker = CircuitBreaker<testing::ManualTime>;

constexpr std::size_t never = 1'000'000'000; // failures that no window holds

// One run: the service, what guards it, and what is noted about both.
struct Run {
    Run(const Trace& its_trace, const Contender& contender) : trace(its_trace) {
        if (!contender.breaker) return;
        breaker.emplace("service", *contender.breaker, nullptr, time, CallClassifier{}, MemoryAccount{}, 1);
        breaker->on_state_change([this](const CircuitStateChanged& change) {
            const auto now = change.at - start;
            trial.changes.push_back({now, change.to});
            const bool opens = change.from == CircuitState::closed && change.to == CircuitState::open;
            if (opens && !trace.at(now).is_bad) ++trial.false_openings;
        });
    }

    asio::awaitable<Result<int>> attempt(std::uint64_t call, std::uint32_t number) {
        const auto now = time.now() - start;
        const auto fate = trace.attempt(call, number, now);
        ++trial.attempts;
        trial.attempts_in_bad += trace.at(now).is_bad;
        trial.probes += breaker && breaker->state() != CircuitState::closed;
        const auto executor = co_await asio::this_coro::executor;
        auto answer = async_sleep_until(time, executor, time.now() + fate.takes, asio::as_tuple(asio::deferred));
        co_await std::move(answer);
        if (fate.fails) co_return Errc::connect_failed;
        co_return 1;
    }
    asio::awaitable<Result<int>> call(std::uint64_t number) {
        auto operation = [this, number](CallContext& context) { return attempt(number, context.attempt()); };
        auto guarded = idempotent(operation);
        if (!breaker) {
            Pipeline retried{retry};
            auto alone = retried.execute(guarded);
            co_return co_await std::move(alone);
        }
        Pipeline both{retry, *breaker};
        auto called = both.execute(guarded);
        auto result = co_await std::move(called);
        if (!result && result.error() == Errc::circuit_open)
            trial.refused_in_good += !trace.at(time.now() - start).is_bad;
        co_return result;
    }

    const Trace& trace;
    asio::io_context io;
    testing::ManualTime time;
    const TimePoint start = time.now();
    RetryExecutor<testing::ManualTime> retry{
        RetryConfig{.max_retries = 2,
                    .backoff_strategy = ExponentialBackoff{.initial_delay = 100ms, .max_delay = 1s, .multiplier = 2.0}},
        nullptr, time};
    Trial trial;
    std::optional<Breaker> breaker;
};

// When it opened and closed, beside when it should have.
void compare(Trial& trial, const Trace& trace) {
    const auto spans = trace.bad_spans();
    if (spans.empty()) return;
    for (const auto& change : trial.changes) {
        if (change.to == CircuitState::open && change.at >= spans.front().from && !trial.opened_after)
            trial.opened_after = change.at - spans.front().from;
        trial.closed_after.reset();
        if (change.to == CircuitState::closed)
            trial.closed_after = std::max(Duration{0}, change.at - spans.back().until);
    }
}

} // namespace

std::vector<Contender> contenders() {
    CircuitBreakerConfig rate{.failure_threshold = 100, .timeout = 10s, .minimum_throughput = 20};
    rate.failure_rate_threshold = 0.5;
    CircuitBreakerConfig time{.failure_threshold = never, .timeout = 10s, .minimum_throughput = 20};
    time.failure_rate_threshold = 0.5;
    time.sliding_window_duration = 10s;
    auto slow = time;
    slow.slow_call_threshold = 1s;
    auto growing = slow;
    growing.sliding_window_duration = 2s;
    growing.timeout = 1s;
    growing.timeout_multiplier = 2.0;
    growing.max_timeout = 10s;
    return {
        {"retry alone", "no breaker", std::nullopt},
        {"defaults", "5 failures in the last 100 calls, open for 60 s", CircuitBreakerConfig{}},
        {"rate", "half of the last 100 calls, open for 10 s", rate},
        {"rate in time", "half of the calls of the last 10 s, open for 10 s", time},
        {"and slow calls", "the same, and half of them slower than 1 s", slow},
        {"quick, growing", "the same of the last 2 s, open for 1 s, 2 s, 4 s … 10 s", growing},
    };
}

Trial run_trial(const Trace& trace, const Contender& contender, double part) {
    Run run{trace, contender};
    const auto duration = Duration{static_cast<Duration::rep>(static_cast<double>(trace.duration.count()) * part)};
    testing::VirtualTraffic traffic{run.io,
                                    run.time,
                                    {.duration = duration,
                                     .calls = 50,
                                     .period = 1s,
                                     .arrivals = testing::Arrivals::poisson,
                                     .seed = testing::RunSeed{1}}};
    const auto report = traffic.run([&](std::uint64_t number) { return run.call(number); });
    if (report.unfinished > 0) {
        std::ostringstream text;
        text << report;
        throw std::runtime_error{text.str()};
    }
    run.trial.calls = report.calls;
    run.trial.failed_calls = report.failed;
    compare(run.trial, trace);
    return std::move(run.trial);
}

} // namespace velostream::bench
