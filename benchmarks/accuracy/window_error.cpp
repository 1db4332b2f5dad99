// SPDX-License-Identifier: Apache-2.0
#include "accuracy/window_error.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>

#include "accuracy/trace.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/core/breaker_machine.hpp"
#include "velostream/core/outcome_window.hpp"

namespace velostream::bench {

namespace {

constexpr Duration step = std::chrono::microseconds{10}; // from one outcome of a window of time to the next
constexpr std::size_t between_looks = 7;
constexpr std::size_t longest_look = 256; // outcomes; in a longer one the thread stood still, and nothing can be said

TimePoint time_of(std::size_t outcome) noexcept {
    return TimePoint{step * static_cast<Duration::rep>(outcome)};
}

std::uint64_t error_of(const CircuitBreakerConfig& config, const ExactWindow& exact, std::uint64_t seen,
                       std::size_t from, std::size_t until) {
    auto least = std::numeric_limits<std::uint64_t>::max();
    for (auto last = from; last <= until; ++last) {
        const auto right = exact.failures(beginning(config, last), last);
        least = std::min(least, seen > right ? seen - right : right - seen);
    }
    return least;
}

void in_threads_at_once(int count, const std::function<void()>& work) {
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&] {
            ++ready;
            while (ready < count) std::this_thread::yield();
            work();
        });
    for (auto& thread : threads) thread.join();
}

constexpr std::size_t outcomes_of_a_trial = 2000, sick_from = 500;

ExactWindow trial_number(int trial) {
    return {outcomes_of_a_trial, [trial](std::size_t outcome) {
                return drawn(outcome, static_cast<std::uint32_t>(trial), 4) < (outcome > sick_from ? 0.7 : 0.05);
            }};
}

// With which outcome an exact breaker opens; 0 if with none.
std::size_t exact_opening(const CircuitBreakerConfig& config, const ExactWindow& exact) {
    const BreakerRules rules{config};
    for (std::size_t last = 1; last <= outcomes_of_a_trial; ++last) {
        const auto first = beginning(config, last);
        if (rules.judge({.calls = last - first, .failures = exact.failures(first, last), .slow = 0})) return last;
    }
    return 0;
}

// After how many outcomes, those that are being recorded included, the circuit was open; 0 if it never was.
std::size_t opening(const CircuitBreakerConfig& config, const ExactWindow& exact, int recorders) {
    BreakerMachine machine{config};
    const SteadyTime time;
    std::atomic<std::size_t> numbers{0}, opened{0};
    in_threads_at_once(recorders, [&] {
        while (const auto permit = machine.try_acquire_closed(time)) {
            const auto number = numbers.fetch_add(1) + 1;
            if (number > outcomes_of_a_trial) break;
            const auto kind = exact.fails(number) ? CallOutcomeKind::failure : CallOutcomeKind::success;
            if (machine.record(*permit, kind, time) == BreakerEffect::state_changed) opened = numbers.load();
        }
    });
    return opened;
}

} // namespace

std::size_t beginning(const CircuitBreakerConfig& config, std::size_t last) noexcept {
    if (!config.sliding_window_duration)
        return last > config.sliding_window_size ? last - config.sliding_window_size : 0;
    const auto width = *config.sliding_window_duration / static_cast<Duration::rep>(config.sliding_window_buckets);
    const auto oldest =
        time_of(last).time_since_epoch() / width - static_cast<Duration::rep>(config.sliding_window_buckets) + 1;
    if (oldest <= 0) return 0;
    return static_cast<std::size_t>(oldest * width / step) - 1; // the bucket's first outcome is in the window
}

WindowErrors measure_window(const CircuitBreakerConfig& config, int recorders, std::size_t outcomes) {
    const ExactWindow exact{outcomes, [](std::size_t outcome) { return drawn(outcome, 0, 3) < 1.0 / 3; }};
    OutcomeWindow window{config};
    window.begin_era(0);
    std::atomic<std::size_t> numbers{0};
    std::mutex mutex;
    WindowErrors errors{.recorders = recorders, .by_error = std::vector<std::uint64_t>(1)};
    in_threads_at_once(recorders, [&] {
        std::vector<std::uint64_t> by_error(1);
        for (std::size_t round = 0;; ++round) {
            const auto number = numbers.fetch_add(1) + 1;
            if (number > outcomes) break;
            window.record(0, exact.fails(number), false, time_of(number));
            if (round % between_looks != 0) continue;
            const auto from = std::min(numbers.load(), outcomes);
            const auto seen = window.counts(time_of(from)).failures;
            const auto until = std::min(numbers.load(), outcomes);
            if (until - from > longest_look) continue;
            const auto error = static_cast<std::size_t>(error_of(config, exact, seen, from, until));
            by_error.resize(std::max(by_error.size(), error + 1));
            ++by_error[error];
        }
        const std::lock_guard lock{mutex};
        errors.by_error.resize(std::max(errors.by_error.size(), by_error.size()));
        for (std::size_t error = 0; error < by_error.size(); ++error) errors.by_error[error] += by_error[error];
    });

    std::uint64_t sum = 0;
    for (std::size_t error = 0; error < errors.by_error.size(); ++error) {
        errors.looks += errors.by_error[error];
        sum += error * errors.by_error[error];
    }
    errors.wrong = errors.looks - errors.by_error.front();
    errors.most = errors.by_error.size() - 1;
    errors.mean = errors.looks == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(errors.looks);
    return errors;
}

OpeningErrors measure_openings(const CircuitBreakerConfig& config, int recorders, int trials) {
    OpeningErrors errors{.recorders = recorders};
    std::int64_t sum = 0;
    std::uint64_t opened = 0;
    for (int trial = 0; trial < trials; ++trial) {
        const auto exact = trial_number(trial);
        const auto right = exact_opening(config, exact);
        if (right == 0) continue;
        ++errors.trials;
        const auto seen = opening(config, exact, recorders);
        if (seen == 0) {
            ++errors.missed;
            continue;
        }
        const auto late = static_cast<std::int64_t>(seen) - static_cast<std::int64_t>(right);
        errors.exact += late == 0;
        errors.earliest = opened == 0 ? late : std::min(errors.earliest, late);
        errors.latest = opened == 0 ? late : std::max(errors.latest, late);
        sum += late;
        ++opened;
    }
    errors.mean = opened == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(opened);
    return errors;
}

} // namespace velostream::bench
