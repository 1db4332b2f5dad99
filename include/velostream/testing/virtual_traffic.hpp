// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "velostream/async/operation.hpp"
#include "velostream/testing/manual_time.hpp"
#include "velostream/testing/run_seed.hpp"
#include "velostream/testing/traffic_report.hpp"

namespace velostream::testing {

/// How calls are spread that come at a rate.
enum class Arrivals : std::uint8_t {
    even,    ///< all the same time apart
    poisson, ///< each on its own, as those of many users do: sometimes close together, sometimes far apart
};

/// How much traffic there is, and for how long.
struct TrafficConfig {
    /// Calls begin within this time. Legal: > 0. Default 1 h.
    Duration duration = std::chrono::hours{1};

    /// So many calls begin in each `period`. Legal: 1 to 1000000000. Default 1.
    std::uint64_t calls = 1;
    /// Legal: > 0, at most 24 h, and a nanosecond for each call at least. Default 1 s.
    Duration period = std::chrono::seconds{1};
    /// Default even.
    Arrivals arrivals = Arrivals::even;

    /// If it is not empty, calls begin at these times after the start, in whatever order they stand here, and not at
    /// a rate. Legal: each ≥ 0 and below `duration`.
    std::vector<Duration> schedule{};

    /// How much more time calls have that are under way at the end of `duration`. Legal: ≥ 0. Default 1 h: more than
    /// calls take that end at all.
    Duration grace_period = std::chrono::hours{1};

    /// What `Arrivals::poisson` is drawn from; `seed.of(name)` is for what else is random in the run.
    RunSeed seed = RunSeed::from_environment();

    /// So many handlers may run while time stands still: more are calls that go round in circles. Legal: ≥ 1. Default
    /// 1000000.
    std::uint64_t max_handlers_per_moment = 1'000'000;

    /// Where it is printed why a run failed, and how to repeat it. Default null: `std::cerr`.
    std::ostream* failures_to = nullptr;
};

/// `() -> Awaitable`, or `(std::uint64_t number) -> Awaitable`, with the numbers from 0.
template <class Function>
concept TrafficFunction =
    (std::invocable<Function&, std::uint64_t> && Awaitable<std::invoke_result_t<Function&, std::uint64_t>>) ||
    PlainOperation<Function>;

/// Calls a function of yours again and again, as users would, through hours of virtual time, in so little real time as
/// it takes to run what happens in them.
///
/// ```cpp
/// asio::io_context io;
/// ManualTime time; // what all components of the test run by
/// …
/// VirtualTraffic traffic{io, time, {.duration = 1h, .calls = 10}};
/// traffic.at(20min, [&] { outage.set_enabled(true); });
/// traffic.at(30min, [&] { outage.set_enabled(false); });
/// traffic.expect("nobody waits longer than 10 s", [](const TrafficReport& report) { return report.longest <= 10s; });
/// const auto report = traffic.run([&] { return client.price_of("tea"); });
/// EXPECT_TRUE(report.passed()) << report;
/// ```
///
/// Time goes from one moment at which something happens to the next. At one moment what was set by `at` comes first,
/// then whoever wakes, in the order of `ManualTime`, then the calls that begin. So a run depends on nothing but the
/// seed, as long as everything in it runs on `context` and by `time`.
///
/// Threads:  one at a time; `context` must not be run by anybody else meanwhile.
/// Lifetime: `context` must outlive it.
class VirtualTraffic {
  public:
    /// Errors: throws `std::invalid_argument` that lists every problem of the config.
    VirtualTraffic(asio::io_context& context, ManualTime time, const TrafficConfig& config = {});

    const TrafficConfig& config() const noexcept { return config_; }
    RunSeed seed() const noexcept { return config_.seed; }

    /// Calls `action` so long after the start of each run that begins from now on; those of one moment in the order in
    /// which they were set.
    ///
    /// Errors: throws `std::invalid_argument` if that is before the start, or after the end of `duration`.
    void at(Duration after_start, std::function<void()> action);

    /// The run fails if `holds(report)` is false at its end; `what` says which promise was broken.
    void expect(std::string what, std::function<bool(const TrafficReport&)> holds);

    /// Starts a call of `function` whenever it is time for one, and lets time pass until all have ended. What they
    /// return, `T` or `Result<T>`, or throw is counted. Calls that have not ended when the grace period is over are
    /// cancelled (terminal), so that they need nothing any more of what the test made.
    ///
    /// A run fails if calls did not end, if time stood still, and if what was expected of it did not come true; then it
    /// prints the report, and with it the seed.
    ///
    /// Errors: what an action or an expectation throws, after the calls under way were cancelled and the seed printed.
    template <TrafficFunction Function>
    TrafficReport run(Function function) {
        // Shared: calls that ignore their cancellation may still run when this has returned.
        const auto shared = std::make_shared<Function>(std::move(function));
        return run_calls([shared](std::uint64_t number) { return outcome_of(shared, number); });
    }

  private:
    using Outcome = std::optional<Error>; // nothing: success
    using StartCall = std::function<asio::awaitable<Outcome>(std::uint64_t number)>;
    struct Action {
        Duration after_start;
        std::function<void()> function;
    };
    struct Expectation {
        std::string what;
        std::function<bool(const TrafficReport&)> holds;
    };
    struct Call;
    struct Run;
    class Schedule;

    template <class Function>
    static auto call(Function& function, std::uint64_t number) {
        if constexpr (std::invocable<Function&, std::uint64_t>)
            return function(number);
        else
            return function();
    }
    template <class Function>
    static asio::awaitable<Outcome> outcome_of(std::shared_ptr<Function> function, std::uint64_t number) {
        using Value = typename velostream::detail::AwaitableValue<decltype(call(*function, number))>::type;
        try {
            auto running = call(*function, number);
            if constexpr (is_result<Value>) {
                const Value value = co_await std::move(running);
                if (value.has_error()) co_return value.error();
            } else {
                co_await std::move(running);
            }
        } catch (...) {
            co_return Error::from_exception(std::current_exception());
        }
        co_return std::nullopt;
    }

    TrafficReport run_calls(const StartCall& start_call);
    void pass(const std::shared_ptr<Run>& run, const StartCall& start_call);
    void begin_call(const std::shared_ptr<Run>& run, const StartCall& start_call);
    void settle();
    void end_calls(Run& run);
    void judge(TrafficReport& report) const;
    std::ostream& failures_to() const;

    asio::io_context& context_;
    ManualTime time_;
    const TrafficConfig config_;
    std::vector<Action> actions_; // in the order of their times
    std::vector<Expectation> expectations_;
};

} // namespace velostream::testing
