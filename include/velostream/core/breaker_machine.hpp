// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/core/breaker_control.hpp"
#include "velostream/core/breaker_rules.hpp"
#include "velostream/core/outcome_window.hpp"
#include "velostream/core/sharded_count.hpp"

namespace velostream {

/// Leave to make one call, to be given back with its result. It is good for the epoch in which it was issued.
struct BreakerPermit {
    std::uint32_t epoch = 0;
    bool probe = false;
    TimePoint started{}; ///< only where something depends on it: probes, and all calls if the slow rule is on
};

/// What a call came to. Earlier kinds take precedence where a call could be counted as several.
enum class CallOutcomeKind : std::uint8_t {
    cancelled, ///< the caller gave up: says nothing about the service
    ignored,   ///< a failure that is not the service's, such as a bad record
    throttled, ///< the service, or a limit of ours, asked for less: counted apart, never opens
    failure,
    success,
};

/// Why a circuit changed its state.
enum class BreakerCause : std::uint8_t {
    failure_count,
    failure_rate,
    slow_call_rate,
    probe_failed,
    probe_slow,
    probe_overdue,
    timeout_elapsed,
    probes_succeeded,
    manual,
};

/// One change of state.
struct BreakerTransition {
    CircuitState from, to;
    BreakerCause cause;
    TimePoint at;
    OutcomeCounts counts; ///< the window when it happened
    Error error;          ///< of the call that made it, if one failed
};

/// What the result of a call made of the circuit, beside being counted.
enum class BreakerEffect : std::uint8_t {
    none,
    permit_returned, ///< a probe has ended: another may be admitted
    state_changed,   ///< `publish_transitions` is due
};

/// Where the machine asks for the time, and only if something depends on it. Every `TimeSource` is one.
template <class Clock>
concept BreakerClock = requires(const Clock& clock) {
    { clock.now() } -> std::same_as<TimePoint>;
    { clock.coarse_now() } -> std::same_as<TimePoint>;
};

/// The rules of a circuit breaker, apart from coroutines, observers and clocks: it is asked for permits, told results,
/// and given the time where something depends on it.
///
/// A closed circuit's successful calls cost one load, and one compare-and-swap in the window for the result: no lock.
/// Its failures and slow calls take the window's mutex. Another mutex keeps what is told *about* a state (since when,
/// until when, which probes are out) in step with the control word; it is taken when the state changes, in the
/// half-open state and by snapshots, never by calls of a closed circuit and never by refusals of an open one.
///
/// Threads: safe. The results of calls that end together may be judged in any order.
class BreakerMachine {
  public:
    explicit BreakerMachine(const CircuitBreakerConfig& config);

    /// The permit of a closed circuit; nothing in any other state: then ask `try_acquire`. The clock is read only if
    /// the slow rule is on.
    template <BreakerClock Clock>
    std::optional<BreakerPermit> try_acquire_closed(const Clock& clock) const noexcept {
        const auto epoch = control_.closed_epoch();
        if (epoch >= BreakerWord::epochs) return std::nullopt;
        return BreakerPermit{epoch, false, slow_call_threshold_ ? call_time(clock) : TimePoint{}};
    }

    struct Admission {
        std::optional<BreakerPermit> permit;
        std::optional<Duration> retry_after; ///< of a refusal, where it is known
        bool changed = false;                ///< the state changed: `publish_transitions` is due
    };

    /// How long an open circuit will go on refusing, where even a clock that is 20 ms slow can tell; nothing otherwise:
    /// then ask `try_acquire`. Counts as a refused call.
    std::optional<Duration> refuse_by_coarse_clock(TimePoint coarse_now) noexcept {
        if (control_.load().state != CircuitState::open) return std::nullopt;
        const auto rest = open_end() - coarse_now;
        if (rest <= std::chrono::milliseconds{20}) return std::nullopt;
        rejected_.add();
        return rest;
    }

    /// A permit, or a refusal. May open or half-open the circuit, when it is time for that.
    Admission try_acquire(TimePoint now);

    /// Takes back a permit with its result. The clock is read only if the slow rule is on, or the result does more than
    /// count.
    template <BreakerClock Clock>
    BreakerEffect record(const BreakerPermit& permit, CallOutcomeKind kind, const Clock& clock,
                         const Error* error = nullptr) {
        if (kind < CallOutcomeKind::failure)
            return record_undecided(permit, kind, permit.probe ? clock.now() : TimePoint{});
        if (!control_.is_closed_in(permit.epoch)) return record_unusual(permit, kind, clock.now(), error);
        return record_closed(permit, kind == CallOutcomeKind::failure, clock, error);
    }

    /// `record` of a success: the one path that every call of a healthy service takes.
    template <BreakerClock Clock>
    BreakerEffect record_success(const BreakerPermit& permit, const Clock& clock) {
        if (!control_.is_closed_in(permit.epoch)) [[unlikely]]
            return record_unusual(permit, CallOutcomeKind::success, clock.now(), nullptr);
        return record_closed(permit, false, clock, nullptr);
    }

    /// Takes back a permit that was abandoned without a result.
    BreakerEffect abandon(const BreakerPermit& permit, TimePoint now) {
        return record_undecided(permit, CallOutcomeKind::cancelled, now);
    }

    /// Makes the change of state that time alone makes: an overdue probe opens the circuit. True if it did.
    bool settle(TimePoint now);

    /// Sets `closed`, `forced_open`, `disabled` or `metrics_only` by hand; the first and the last start with an empty
    /// window. True if it changed the state.
    bool set_state(CircuitState to, TimePoint now);

    /// Closed, with an empty window, whatever it was; calls that are out become late. True if it changed the state.
    bool reset(TimePoint now);

    /// The state in which the next call at `now` would find the circuit: a waited-out `open` is `half_open`.
    CircuitState state(TimePoint now) const;

    /// How many calls would be admitted at `now` before one of them ends.
    std::uint32_t admissible(TimePoint now) const;

    /// When time alone changes what `state` and `admissible` answer, at the earliest; nothing if it does not.
    std::optional<TimePoint> next_change(TimePoint now) const;

    /// Calls `publish(transition)` for each transition that was not published yet: in their order, once each, after
    /// they took effect, outside of any lock. If another thread is publishing, it takes over ours too.
    ///
    /// What `publish` throws is passed on; that transition counts as not published, and comes first the next time.
    template <std::invocable<const BreakerTransition&> Publish>
    void publish_transitions(Publish publish) {
        std::unique_lock lock{mutex_};
        if (publishing_) return;
        publishing_ = true;
        while (!unpublished_.empty()) {
            const auto transition = unpublished_.front();
            lock.unlock();
            try {
                publish(transition);
            } catch (...) {
                lock.lock();
                publishing_ = false;
                throw;
            }
            lock.lock();
            unpublished_.erase(unpublished_.begin());
        }
        publishing_ = false;
    }

    /// All of it from one moment. Counts of calls that end meanwhile may be in one number and not yet in another.
    struct Snapshot {
        CircuitState state;                  ///< the effective one
        OutcomeCounts window;                ///< judged now or, until the circuit closes again, judged last
        std::optional<TimePoint> open_until; ///< while it is open
        std::optional<TimePoint> last_transition, last_opened, last_closed;
        std::uint64_t rejected, late, cancelled, ignored, throttled, opened;
    };
    Snapshot snapshot(TimePoint now) const;

    std::uint32_t window_size() const noexcept { return window_.size(); }
    std::uint16_t success_threshold() const noexcept { return success_threshold_; }

  private:
    // Calls are measured by the coarse clock where its steps are small beside the threshold.
    template <BreakerClock Clock>
    TimePoint call_time(const Clock& clock) const noexcept {
        return *slow_call_threshold_ >= std::chrono::milliseconds{100} ? clock.coarse_now() : clock.now();
    }

    template <BreakerClock Clock>
    BreakerEffect record_closed(const BreakerPermit& permit, bool failed, const Clock& clock, const Error* error) {
        const bool slow = slow_call_threshold_ && call_time(clock) - permit.started >= *slow_call_threshold_;
        const auto entry =
            failed || slow ? window_.record(permit.epoch, failed, slow) : window_.record_success(permit.epoch);
        if (entry == WindowEntry::counted) [[likely]]
            return BreakerEffect::none;
        return judge(permit.epoch, entry, clock, error);
    }

    // What an outcome that may open the circuit does.
    template <BreakerClock Clock>
    [[gnu::noinline]] BreakerEffect judge(std::uint32_t epoch, WindowEntry entry, const Clock& clock,
                                          const Error* error) {
        if (entry == WindowEntry::late) return count_late();
        const auto rule = rules_.judge(window_.counts());
        return rule ? open(epoch, *rule, clock.now(), error) : BreakerEffect::none;
    }

    BreakerEffect record_unusual(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now, const Error* error);
    BreakerEffect record_undecided(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now);
    BreakerEffect record_probe(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now, const Error* error);
    BreakerEffect count_late() noexcept;
    BreakerEffect open(std::uint32_t epoch, BreakerRule rule, TimePoint now, const Error* error);

    // All of these need the mutex. Epochs end in `change` and with the last success of a probe, nowhere else.
    void change(const BreakerWord& from, CircuitState to, BreakerCause cause, TimePoint at,
                const Error* error = nullptr, std::uint16_t probes = 0) noexcept;
    void note_change(BreakerTransition transition) noexcept;
    bool settle_locked(TimePoint now);
    void add_probe(TimePoint started);
    void remove_probe(TimePoint started);
    CircuitState effective(const BreakerWord& word, TimePoint now) const noexcept;

    bool is_overdue(const BreakerWord& word, TimePoint now) const noexcept {
        return word.in_flight > 0 && now >= overdue_at();
    }
    TimePoint overdue_at() const noexcept;
    TimePoint open_end() const noexcept { return TimePoint{Duration{open_until_.load(std::memory_order_relaxed)}}; }

    // Read by every call, written on changes of state only: in one cache line with what else every call reads.
    alignas(64) BreakerControl<> control_;
    const std::optional<Duration> slow_call_threshold_;
    const BreakerRules rules_;
    OutcomeWindow window_;

    const std::uint16_t success_threshold_;
    const Duration timeout_;
    const Duration max_half_open_;

    // Written under the mutex, before the control word publishes what they belong to; read without it, where a value
    // of a later state does no harm: the control word then refuses what was concluded from it.
    alignas(64) std::atomic<Duration::rep> open_until_{0};
    std::atomic<Duration::rep> oldest_probe_{0}; // start of the probe that has been out for longest

    ShardedCount rejected_; // the only one that many threads count in at once: callers that an outage turns away
    // relaxed: counts only.
    std::atomic<std::uint64_t> late_{0}, cancelled_{0}, ignored_{0}, throttled_{0};

    mutable std::mutex mutex_;
    std::vector<TimePoint> probes_; // starts of those that are out, ascending
    std::uint64_t opened_ = 0;
    std::optional<TimePoint> last_transition_, last_opened_, last_closed_;
    // There is room for two at least: the first, which is being published perhaps, and another.
    std::vector<BreakerTransition> unpublished_;
    bool publishing_ = false;
};

} // namespace velostream
