// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/virtual_traffic.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <sstream>
#include <string_view>

#include "velostream/config/validate.hpp"
#include "velostream/core/backoff_random.hpp"

namespace velostream::testing {

namespace {

std::string text(Duration duration) {
    return std::to_string(duration.count()) + " ns";
}

std::string in_seconds(Duration duration) {
    std::ostringstream out;
    out << std::chrono::duration<double>{duration}.count() << " s";
    return out.str();
}

const TrafficConfig& checked(const TrafficConfig& config) {
    constexpr Duration longest_period = std::chrono::hours{24};
    constexpr std::uint64_t most_calls = 1'000'000'000;
    std::vector<ConfigProblem> problems;
    const auto require = [&problems](bool holds, std::string field, std::string value, std::string legal) {
        if (!holds) problems.push_back({std::move(field), std::move(value), std::move(legal)});
    };
    require(config.duration > Duration::zero(), "duration", text(config.duration), "must be > 0");
    require(config.calls >= 1 && config.calls <= most_calls, "calls", std::to_string(config.calls),
            "must be 1 to 1000000000");
    require(config.period > Duration::zero() && config.period <= longest_period &&
                (config.calls > most_calls || std::cmp_less_equal(config.calls, config.period.count())),
            "period", text(config.period), "must be > 0 and <= 24 h, and >= 1 ns for each call");
    for (const auto moment : config.schedule)
        require(moment >= Duration::zero() && moment < config.duration, "schedule", text(moment),
                "must be >= 0 and < duration");
    require(config.grace_period >= Duration::zero(), "grace_period", text(config.grace_period), "must be >= 0");
    require(config.max_handlers_per_moment >= 1, "max_handlers_per_moment", "0", "must be >= 1");
    throw_if_any(problems);
    return config;
}

// Of everything that it is told, in this order.
class Fingerprint {
  public:
    void add(std::uint64_t number) noexcept { state_ = BackoffRandom{state_ ^ number}.next(); }
    void add(std::string_view name) noexcept {
        for (const char character : name) add(static_cast<unsigned char>(character));
    }
    std::uint64_t value() const noexcept { return state_; }

  private:
    std::uint64_t state_ = 0;
};

// Time does not go on, since there is always more to run.
struct StandsStill {};

} // namespace

// When calls begin.
class VirtualTraffic::Schedule {
  public:
    Schedule(const TrafficConfig& config, TimePoint start)
        : config_(config), start_(start), moments_(config.schedule), random_(config.seed.of("arrivals")) {
        std::sort(moments_.begin(), moments_.end());
        advance();
    }

    /// The next one; empty after the last.
    std::optional<TimePoint> next() const noexcept {
        return next_ < config_.duration ? std::optional{start_ + next_} : std::nullopt;
    }
    void advance() {
        if (!moments_.empty())
            next_ = index_ < moments_.size() ? moments_[index_] : Duration::max();
        else if (config_.arrivals == Arrivals::even)
            next_ = evenly(index_);
        else
            next_ += gap();
        ++index_;
    }

  private:
    // index × period / calls, without overflow on the way.
    Duration evenly(std::uint64_t index) const noexcept {
        const auto calls = config_.calls, period = static_cast<std::uint64_t>(config_.period.count());
        const auto whole = index / calls, rest = index % calls;
        return Duration{
            static_cast<Duration::rep>(whole * period + rest * (period / calls) + rest * (period % calls) / calls)};
    }
    Duration gap() noexcept {
        const auto mean = static_cast<double>(config_.period.count()) / static_cast<double>(config_.calls);
        const auto uniform = static_cast<double>(random_.next() >> 11) * 0x1p-53; // in [0, 1)
        return Duration{static_cast<Duration::rep>(-std::log1p(-uniform) * mean)};
    }

    const TrafficConfig& config_;
    const TimePoint start_;
    std::vector<Duration> moments_;
    BackoffRandom random_;
    std::uint64_t index_ = 0;
    Duration next_{};
};

struct VirtualTraffic::Call {
    Call(std::uint64_t its_number, TimePoint at) noexcept : number(its_number), began(at) {}

    const std::uint64_t number;
    const TimePoint began;
    asio::cancellation_signal signal;
};

// One run; the handlers of its calls share it.
struct VirtualTraffic::Run {
    Run(RunSeed seed, TimePoint at) : start(at) { report.seed = seed; }

    void begin(const std::shared_ptr<Call>& call) {
        ++report.calls;
        in_flight.emplace(call->number, call);
        report.most_at_once = std::max(report.most_at_once, in_flight.size());
    }
    void end(const Call& call, TimePoint now, const Outcome& outcome) {
        in_flight.erase(call.number);
        if (is_over) return;
        report.longest = std::max(report.longest, now - call.began);
        fingerprint.add(call.number);
        fingerprint.add(static_cast<std::uint64_t>((now - start).count()));
        if (outcome)
            fail(*outcome);
        else
            ++report.succeeded;
    }
    void fail(const Error& error) {
        fingerprint.add(error.code().category().name());
        fingerprint.add(static_cast<std::uint64_t>(error.code().value()));
        ++report.failed;
        const auto is_same = [&error](const TrafficReport::Failures& failures) {
            return failures.first == error.code() && failures.first.type() == error.type();
        };
        const auto found = std::find_if(report.errors.begin(), report.errors.end(), is_same);
        if (found == report.errors.end())
            report.errors.push_back({error, 1});
        else
            ++found->calls;
    }

    const TimePoint start;
    TrafficReport report;
    Fingerprint fingerprint;
    std::map<std::uint64_t, std::shared_ptr<Call>> in_flight;
    bool is_over = false; // what ends now was cancelled by the run itself
};

VirtualTraffic::VirtualTraffic(asio::io_context& context, ManualTime time, const TrafficConfig& config)
    : context_(context), time_(std::move(time)), config_(checked(config)) {}

void VirtualTraffic::at(Duration after_start, std::function<void()> action) {
    if (after_start < Duration::zero() || after_start > config_.duration)
        throw_if_any({{"after_start", text(after_start), "must be 0 to the duration, " + text(config_.duration)}});
    const auto is_later = [](Duration moment, const Action& other) { return moment < other.after_start; };
    const auto place = std::upper_bound(actions_.begin(), actions_.end(), after_start, is_later);
    actions_.insert(place, {after_start, std::move(action)});
}

void VirtualTraffic::expect(std::string what, std::function<bool(const TrafficReport&)> holds) {
    expectations_.push_back({std::move(what), std::move(holds)});
}

TrafficReport VirtualTraffic::run_calls(const StartCall& start_call) {
    const auto run = std::make_shared<Run>(config_.seed, time_.now());
    auto& report = run->report;
    try {
        pass(run, start_call);
        end_calls(*run);
        judge(report);
    } catch (...) {
        end_calls(*run);
        failures_to() << "the run ended with an exception: " << report.seed << '\n';
        throw;
    }
    if (!report.passed()) failures_to() << "the run failed: " << report;
    return report;
}

// Until all calls have ended, or the grace period is over.
void VirtualTraffic::pass(const std::shared_ptr<Run>& run, const StartCall& start_call) {
    const auto end = saturating_add(run->start, config_.duration);
    const auto last = saturating_add(end, config_.grace_period);
    Schedule schedule{config_, run->start};
    const auto actions = actions_; // an action may call `at`, for the next run
    std::size_t done = 0;
    try {
        settle(); // what the test has started before
        for (;;) {
            const bool is_draining = time_.now() >= end;
            if (is_draining && run->in_flight.empty()) return;
            const auto limit = is_draining ? last : end;
            auto next = std::min(limit, time_.next_wake().value_or(limit));
            if (const auto begins = schedule.next()) next = std::min(next, *begins);
            if (done < actions.size()) next = std::min(next, run->start + actions[done].after_start);

            time_.advance_to(next);
            while (done < actions.size() && run->start + actions[done].after_start <= next) actions[done++].function();
            for (auto begins = schedule.next(); begins && *begins <= next; begins = schedule.next()) {
                begin_call(run, start_call);
                schedule.advance();
            }
            settle();
            if (is_draining && next == last) return;
        }
    } catch (const StandsStill&) {
        run->report.problems.push_back("time stood still " + in_seconds(time_.now() - run->start) +
                                       " after the start: " + std::to_string(config_.max_handlers_per_moment) +
                                       " handlers ran, and there are more to run");
    }
}

void VirtualTraffic::begin_call(const std::shared_ptr<Run>& run, const StartCall& start_call) {
    const auto call = std::make_shared<Call>(run->report.calls, time_.now());
    auto ended = [run, call, time = time_](const std::exception_ptr& exception, const Outcome& outcome) {
        run->end(*call, time.now(), exception ? Error::from_exception(exception) : outcome);
    };
    run->begin(call);
    asio::co_spawn(context_, start_call(call->number),
                   asio::bind_cancellation_slot(call->signal.slot(), std::move(ended)));
}

// Runs what is ready.
void VirtualTraffic::settle() {
    context_.restart();
    for (std::uint64_t handlers = 0; context_.poll_one() > 0; ++handlers)
        if (handlers == config_.max_handlers_per_moment) throw StandsStill{};
}

// Cancels the calls that have not ended.
void VirtualTraffic::end_calls(Run& run) {
    if (std::exchange(run.is_over, true)) return;
    auto& report = run.report;
    report.elapsed = time_.now() - run.start;
    report.unfinished = run.in_flight.size();
    run.fingerprint.add(report.unfinished);
    report.fingerprint = run.fingerprint.value();
    if (run.in_flight.empty()) return;

    const auto unfinished = run.in_flight;
    for (const auto& [number, call] : unfinished) call->signal.emit(asio::cancellation_type::terminal);
    try {
        settle();
    } catch (const StandsStill&) { // ignored: they are counted among those that go on
    }
    report.ignored_cancellation = run.in_flight.size();
}

void VirtualTraffic::judge(TrafficReport& report) const {
    if (report.unfinished > 0)
        report.problems.push_back(std::to_string(report.unfinished) + " calls had not ended " +
                                  in_seconds(report.elapsed) + " after the start");
    if (report.ignored_cancellation > 0)
        report.problems.push_back(std::to_string(report.ignored_cancellation) + " of them ignored their cancellation");
    for (const auto& expectation : expectations_)
        if (!expectation.holds(report)) report.problems.push_back("does not hold: " + expectation.what);
}

std::ostream& VirtualTraffic::failures_to() const {
    return config_.failures_to ? *config_.failures_to : std::cerr;
}

} // namespace velostream::testing
