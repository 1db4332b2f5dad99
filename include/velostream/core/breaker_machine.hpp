// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <vector>

#include "velostream/core/backoff_random.hpp"
#include "velostream/core/breaker_control.hpp"
#include "velostream/core/breaker_types.hpp"
#include "velostream/core/open_wait.hpp"
#include "velostream/core/outcome_window.hpp"

namespace velostream {

/// The rules of a circuit breaker, apart from coroutines, observers and clocks: it is asked for permits, told results,
/// and given the time where something depends on it.
///
/// A closed circuit's successful calls cost one load, and one compare-and-swap in the window for the result: no lock.
/// Its failures and slow calls take the window's mutex, and so do successes as long as the window holds no more than
/// the largest minimum: each may be the one that completes it. Another mutex keeps what is told *about* a state (since
/// when, until when, which probes are out) in step with the control word; it is taken when the state changes, in the
/// half-open state and by snapshots, never by calls of a closed circuit and never by refusals of an open one.
///
/// Threads:  safe with `SharedMemory`; with `ConfinedMemory` one at a time. The results of calls that end together may
///           be judged in any order.
/// Lifetime: the memory must outlive it.
template <class Memory = SharedMemory>
class BasicBreakerMachine {
  public:
    /// `seed` is that of the jitter; unset, every machine has its own. The windows and what grows with the probes that
    /// are out are taken from `memory`. It begins closed, in `epoch`.
    ///
    /// Throws `std::bad_alloc` if there is no memory for an empty window.
    explicit BasicBreakerMachine(const CircuitBreakerConfig& config, std::optional<std::uint64_t> seed = std::nullopt,
                                 std::pmr::memory_resource& memory = *std::pmr::get_default_resource(),
                                 std::uint32_t epoch = 0);

    /// The permit of a closed circuit; nothing in any other state: then ask `try_acquire`. The clock is read only if
    /// the slow rule is on.
    template <BreakerClock Clock>
    std::optional<BreakerPermit> try_acquire_closed(const Clock& clock) const noexcept {
        const auto epoch = control_.closed_epoch();
        if (epoch >= BreakerWord::epochs) return std::nullopt;
        // relaxed, as wherever the configuration is read: a call may begin and end by different ones.
        const auto reading = reading_.load(std::memory_order_relaxed);
        return BreakerPermit{epoch, false, reading == Reading::none ? BreakerPermit::unmeasured : started(clock)};
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

    /// A permit, or a refusal. May open or half-open the circuit, when it is time for that. A probe beyond the 16th
    /// that is out is refused where there is no memory for it.
    Admission try_acquire(TimePoint now) noexcept;

    /// Takes back a permit with its result. The clock is read only if the slow rule is on, the window is one of time,
    /// or the result does more than count.
    template <BreakerClock Clock>
    BreakerEffect record(const BreakerPermit& permit, CallOutcomeKind kind, const Clock& clock,
                         const Error* error = nullptr) {
        if (kind < CallOutcomeKind::failure)
            return record_undecided(permit, kind, permit.probe ? clock.now() : TimePoint{});
        if (kind == CallOutcomeKind::success) return record_success(permit, clock);
        if (!control_.is_closed_in(permit.epoch)) return record_unusual(permit, kind, clock.now(), error);
        return record_failure(permit, clock, error);
    }

    /// `record` of a success: the one path that every call of a healthy service takes.
    template <BreakerClock Clock>
    BreakerEffect record_success(const BreakerPermit& permit, const Clock& clock) {
        if (!control_.is_closed_in(permit.epoch)) [[unlikely]]
            return record_unusual(permit, CallOutcomeKind::success, clock.now(), nullptr);
        if (reading_.load(std::memory_order_relaxed) != Reading::none) return record_timed_success(permit, clock);
        const auto entry = window_.record_success(permit.epoch);
        if (entry == WindowEntry::counted) [[likely]]
            return BreakerEffect::none;
        return judge(permit.epoch, entry, clock);
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

    /// From now on another configuration. State, permits and epochs stay, and of the window what fits into the new one
    /// (see `BasicOutcomeWindow::reconfigure`). The next outcome is judged by the new rules. What has begun ends by the
    /// old numbers: the wait of an open circuit, and the number and the longest time of the probes of a half-open one.
    /// True if the state changed meanwhile, as in `settle`.
    ///
    /// Throws `std::bad_alloc`, and then the configuration is as it was.
    bool reconfigure(const CircuitBreakerConfig& config, TimePoint now);

    /// The state in which the next call at `now` would find the circuit: a waited-out `open` is `half_open`.
    CircuitState state(TimePoint now) const;

    /// Whether a new machine, begun in the same epoch, would do as well: closed, without failures and slow calls in the
    /// window, and with every transition published.
    bool is_pristine(TimePoint now) const;

    /// How many changes of state there have been, and resets of a closed circuit.
    std::uint32_t epoch() const noexcept { return control_.load().epoch; }

    /// How often it has been reset.
    std::uint64_t resets() const {
        const Lock lock{mutex_};
        return resets_;
    }

    /// Results so far that came too late to be judged.
    std::uint64_t late_results() const noexcept { return late_.load(std::memory_order_relaxed); }

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

    BreakerSnapshot snapshot(TimePoint now) const;

  private:
    using Lock = std::lock_guard<typename Memory::Mutex>;
    using Window = BasicOutcomeWindow<Memory>;
    using Judgement = typename Window::Judgement;
    template <class T>
    using Atomic = typename Memory::template Atomic<T>;

    // What an outcome of a closed circuit needs to know about the time.
    enum class Reading : std::uint8_t { none, coarse, exact };
    static Reading reading_for(const CircuitBreakerConfig& config) noexcept;

    bool is_slow(const BreakerPermit& permit, TimePoint now) const noexcept {
        const auto slow_after = slow_after_.load(std::memory_order_relaxed);
        return slow_after != 0 && permit.started != BreakerPermit::unmeasured &&
               (now - permit.started).count() >= slow_after;
    }

    // Exactly: by the coarse clock a call would seem longer than it was.
    template <BreakerClock Clock>
    TimePoint started(const Clock& clock) const noexcept {
        return slow_after_.load(std::memory_order_relaxed) == 0 ? BreakerPermit::unmeasured : clock.now();
    }
    template <BreakerClock Clock>
    TimePoint ended(const BreakerPermit& permit, const Clock& clock, Reading reading) const noexcept {
        if (reading == Reading::exact) return clock.now();
        const auto slow_after = slow_after_.load(std::memory_order_relaxed);
        if (slow_after == 0 || permit.started == BreakerPermit::unmeasured) return clock.coarse_now();
        return end_of_call(clock, permit.started, Duration{slow_after});
    }

    template <BreakerClock Clock>
    [[gnu::noinline]] BreakerEffect record_timed_success(const BreakerPermit& permit, const Clock& clock) {
        const auto now = ended(permit, clock, reading_.load(std::memory_order_relaxed));
        if (is_slow(permit, now)) return record_and_judge(permit, false, true, now, clock, nullptr);
        const auto entry = window_.record_success(permit.epoch, now);
        if (entry == WindowEntry::counted) [[likely]]
            return BreakerEffect::none;
        return judge(permit.epoch, entry, clock);
    }

    template <BreakerClock Clock>
    BreakerEffect record_failure(const BreakerPermit& permit, const Clock& clock, const Error* error) {
        const auto reading = reading_.load(std::memory_order_relaxed);
        const auto now = reading == Reading::none ? BreakerPermit::unmeasured : ended(permit, clock, reading);
        const bool slow = reading != Reading::none && is_slow(permit, now);
        return record_and_judge(permit, true, slow, now, clock, error);
    }

    template <BreakerClock Clock>
    [[gnu::noinline]] BreakerEffect record_and_judge(const BreakerPermit& permit, bool failed, bool slow, TimePoint now,
                                                     const Clock& clock, const Error* error) {
        const auto recorded = window_.record_and_judge(permit.epoch, failed, slow, now);
        if (recorded.entry == WindowEntry::late) return count_late();
        return recorded.judgement ? open(permit.epoch, *recorded.judgement, clock.now(), error) : BreakerEffect::none;
    }

    // A success that may open the circuit.
    template <BreakerClock Clock>
    [[gnu::noinline]] BreakerEffect judge(std::uint32_t epoch, WindowEntry entry, const Clock& clock) {
        if (entry == WindowEntry::late) return count_late();
        const auto judgement = window_.judge();
        return judgement ? open(epoch, *judgement, clock.now(), nullptr) : BreakerEffect::none;
    }

    BreakerEffect record_unusual(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now, const Error* error);
    BreakerEffect record_undecided(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now);
    BreakerEffect record_probe(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now, const Error* error);
    BreakerEffect count_late() noexcept;
    BreakerEffect open(std::uint32_t epoch, const Judgement& judgement, TimePoint now, const Error* error);

    // All of these need the mutex. Epochs end in `change` and with the last success of a probe, nowhere else.
    void reserve_probes(const CircuitBreakerConfig& config);
    void adopt(const CircuitBreakerConfig& config) noexcept;
    void change(const BreakerWord& from, CircuitState to, BreakerTransition transition,
                const Error* error = nullptr) noexcept;
    void note_change(BreakerTransition transition) noexcept;
    bool settle_locked(TimePoint now) noexcept;
    bool try_add_probe(TimePoint started) noexcept; // false if there is no memory for it
    void remove_probe(TimePoint started) noexcept;
    void note_oldest_probe() noexcept;
    CircuitState effective(const BreakerWord& word, TimePoint now) const noexcept;
    OutcomeCounts shown(CircuitState state, TimePoint now) const noexcept;
    TimePoint reopens_until(TimePoint from) const noexcept; // if a probe opens the circuit again

    bool is_overdue(const BreakerWord& word, TimePoint now) const noexcept {
        return word.in_flight > 0 && now >= overdue_at();
    }
    TimePoint overdue_at() const noexcept { return TimePoint{Duration{overdue_at_.load(std::memory_order_relaxed)}}; }
    TimePoint open_end() const noexcept { return TimePoint{Duration{open_until_.load(std::memory_order_relaxed)}}; }

    // Read by every call, written on changes of state and of the configuration only: in one cache line with what else
    // every call reads.
    alignas(Memory::alignment) BreakerControl<Memory::template Atomic> control_;
    Atomic<Duration::rep> slow_after_{0}; // 0: the slow rule is off
    Atomic<Reading> reading_{Reading::none};
    Window window_;

    // Written under the mutex, before the control word publishes what they belong to; read without it, where a value
    // of a later state does no harm: the control word then refuses what was concluded from it.
    alignas(Memory::alignment) Atomic<Duration::rep> open_until_{0};
    Atomic<Duration::rep> overdue_at_{0}; // when the probe that has been out for longest has been so for too long

    typename Memory::Count rejected_; // the only one that many threads count in at once: whom an outage turns away
    // relaxed: counts only.
    Atomic<std::uint64_t> late_{0}, cancelled_{0}, ignored_{0}, throttled_{0};

    mutable typename Memory::Mutex mutex_;
    std::uint16_t success_threshold_ = 0; // of the next half-open state, as the next
    Duration max_half_open_{};
    OpenWait waits_;

    Duration probe_limit_{};             // of the half-open state that there is
    std::pmr::vector<TimePoint> probes_; // starts of those that are out, ascending
    OutcomeCounts judged_;               // the window as it was when the circuit closed no more
    std::uint64_t opened_ = 0, resets_ = 0;
    std::optional<TimePoint> last_transition_, last_opened_, last_closed_;

    std::uint32_t reopenings_ = 0; // since it was closed last, the first opening not counted
    bool seeded_;
    BackoffRandom random_;
    std::uint64_t draw_ = 0; // for the next opening: drawn before, since `state` foretells it

    // There is room for two at least: the first, which is being published perhaps, and another.
    std::pmr::vector<BreakerTransition> unpublished_;
    bool publishing_ = false;
};

extern template class BasicBreakerMachine<SharedMemory>;
extern template class BasicBreakerMachine<ConfinedMemory>;

/// That of breakers which any number of threads share.
using BreakerMachine = BasicBreakerMachine<SharedMemory>;

} // namespace velostream
