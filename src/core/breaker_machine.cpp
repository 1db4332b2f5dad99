// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/breaker_machine.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>

namespace velostream {

namespace {

using Lock = std::lock_guard<std::mutex>;

BreakerCause cause_of(BreakerRule rule) noexcept {
    switch (rule) {
        case BreakerRule::failure_count:
            return BreakerCause::failure_count;
        case BreakerRule::failure_rate:
            return BreakerCause::failure_rate;
        case BreakerRule::slow_call_rate:
            return BreakerCause::slow_call_rate;
    }
    return BreakerCause::failure_count;
}

Duration half_open_limit(const CircuitBreakerConfig& config) noexcept {
    return config.max_half_open_duration.value_or(std::max<Duration>(config.timeout, std::chrono::seconds{60}));
}

} // namespace

BreakerMachine::BreakerMachine(const CircuitBreakerConfig& config)
    : control_(static_cast<std::uint16_t>(config.success_threshold)),
      slow_call_threshold_(config.slow_call_threshold),
      rules_(config),
      window_(config.sliding_window_size, rules_.last_minimum()),
      success_threshold_(static_cast<std::uint16_t>(config.success_threshold)),
      timeout_(config.timeout),
      max_half_open_(half_open_limit(config)) {
    unpublished_.reserve(4);
    probes_.reserve(std::min<std::size_t>(success_threshold_, 16)); // so few need no memory later
}

BreakerMachine::Admission BreakerMachine::try_acquire(TimePoint now) {
    Admission admission;
    const auto refuse = [&]() -> Admission& {
        rejected_.add();
        return admission;
    };
    for (;;) {
        const auto word = control_.load();
        switch (word.state) {
            case CircuitState::closed:
            case CircuitState::metrics_only:
            case CircuitState::disabled:
                admission.permit = BreakerPermit{word.epoch, false, now};
                return admission;
            case CircuitState::forced_open:
                return refuse();
            case CircuitState::open: {
                const auto end = open_end();
                if (now < end) {
                    admission.retry_after = end - now;
                    return refuse();
                }
                const Lock lock{mutex_};
                if (control_.load() != word) break;
                add_probe(now);
                change(word, CircuitState::half_open, BreakerCause::timeout_elapsed, now, nullptr, 1);
                admission.permit = BreakerPermit{word.next(CircuitState::half_open).epoch, true, now};
                admission.changed = true;
                return admission;
            }
            case CircuitState::half_open: {
                const bool overdue = is_overdue(word, now);
                if (!overdue && control_.free_probes(word) == 0) return refuse();
                const Lock lock{mutex_};
                if (settle_locked(now)) {
                    admission.changed = true;
                    break;
                }
                add_probe(now); // first, since it may throw
                if (!control_.admit_probe(word.epoch)) {
                    remove_probe(now);
                    break;
                }
                admission.permit = BreakerPermit{word.epoch, true, now};
                return admission;
            }
        }
    }
}

BreakerEffect BreakerMachine::count_late() noexcept {
    late_.fetch_add(1, std::memory_order_relaxed);
    return BreakerEffect::none;
}

BreakerEffect BreakerMachine::record_unusual(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now,
                                             const Error* error) {
    const auto word = control_.load();
    if (word.epoch != permit.epoch) return count_late();
    if (permit.probe) return record_probe(permit, kind, now, error);
    if (word.state == CircuitState::metrics_only) {
        const bool slow = slow_call_threshold_ && now - permit.started >= *slow_call_threshold_;
        window_.record(word.epoch, kind == CallOutcomeKind::failure, slow);
    }
    return BreakerEffect::none; // disabled: nothing is counted
}

BreakerEffect BreakerMachine::record_probe(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now,
                                           const Error* error) {
    const Lock lock{mutex_};
    const bool settled = settle_locked(now);
    const auto word = control_.load();
    if (word.epoch != permit.epoch) {
        count_late();
        return settled ? BreakerEffect::state_changed : BreakerEffect::none;
    }
    const bool slow = slow_call_threshold_ && now - permit.started >= *slow_call_threshold_;
    if (kind == CallOutcomeKind::failure || slow) {
        const auto cause = kind == CallOutcomeKind::failure ? BreakerCause::probe_failed : BreakerCause::probe_slow;
        change(word, CircuitState::open, cause, now, error);
        return BreakerEffect::state_changed;
    }
    remove_probe(permit.started);
    const auto counts = window_.counts();
    if (word.succeeded + 1 == success_threshold_) window_.begin_era(word.next(CircuitState::closed).epoch);
    if (control_.succeed_probe(permit.epoch) != ProbeVerdict::decided) return BreakerEffect::permit_returned;
    note_change({word.state, CircuitState::closed, BreakerCause::probes_succeeded, now, counts, {}});
    return BreakerEffect::state_changed;
}

BreakerEffect BreakerMachine::record_undecided(const BreakerPermit& permit, CallOutcomeKind kind, TimePoint now) {
    auto& count = kind == CallOutcomeKind::ignored     ? ignored_
                  : kind == CallOutcomeKind::throttled ? throttled_
                                                       : cancelled_;
    count.fetch_add(1, std::memory_order_relaxed);
    if (!permit.probe) return BreakerEffect::none;

    const Lock lock{mutex_};
    const bool settled = settle_locked(now);
    if (control_.load().epoch == permit.epoch) {
        remove_probe(permit.started);
        control_.return_probe(permit.epoch);
    }
    return settled ? BreakerEffect::state_changed : BreakerEffect::permit_returned;
}

BreakerEffect BreakerMachine::open(std::uint32_t epoch, BreakerRule rule, TimePoint now, const Error* error) {
    const Lock lock{mutex_};
    const auto word = control_.load();
    if (word.epoch != epoch) return BreakerEffect::none; // a call that ended at the same time has done it
    change(word, CircuitState::open, cause_of(rule), now, error);
    return BreakerEffect::state_changed;
}

void BreakerMachine::change(const BreakerWord& from, CircuitState to, BreakerCause cause, TimePoint at,
                            const Error* error, std::uint16_t probes) noexcept {
    // All that belongs to the new state is written before the control word publishes it.
    const auto counts = window_.counts();
    if (to == CircuitState::open)
        open_until_.store(saturating_add(at, timeout_).time_since_epoch().count(), std::memory_order_relaxed);
    if (to == CircuitState::closed || to == CircuitState::metrics_only) window_.begin_era(from.next(to).epoch);
    control_.change(from.epoch, to, probes);
    note_change({from.state, to, cause, at, counts, error ? *error : Error{}});
}

void BreakerMachine::note_change(BreakerTransition transition) noexcept {
    const auto to = transition.to;
    if (to != CircuitState::half_open) probes_.clear();
    last_transition_ = transition.at;
    if (to == CircuitState::open) {
        last_opened_ = transition.at;
        ++opened_;
    }
    if (to == CircuitState::closed) last_closed_ = transition.at;
    if (transition.from == to) return;
    try {
        unpublished_.push_back(std::move(transition));
    } catch (const std::bad_alloc&) { // then it is one with the one before it, and nothing if that leads back
        auto& last = unpublished_.back();
        transition.from = last.from;
        last = std::move(transition);
        if (last.from == to) unpublished_.pop_back();
    }
}

bool BreakerMachine::settle(TimePoint now) {
    if (control_.load().state != CircuitState::half_open) return false;
    const Lock lock{mutex_};
    return settle_locked(now);
}

bool BreakerMachine::settle_locked(TimePoint now) {
    const auto word = control_.load();
    if (word.state != CircuitState::half_open || !is_overdue(word, now)) return false;
    change(word, CircuitState::open, BreakerCause::probe_overdue, overdue_at());
    return true;
}

bool BreakerMachine::set_state(CircuitState to, TimePoint now) {
    const Lock lock{mutex_};
    const auto word = control_.load();
    if (word.state == to) return false;
    change(word, to, BreakerCause::manual, now);
    return true;
}

bool BreakerMachine::reset(TimePoint now) {
    const Lock lock{mutex_};
    const auto word = control_.load();
    change(word, CircuitState::closed, BreakerCause::manual, now);
    return word.state != CircuitState::closed;
}

void BreakerMachine::add_probe(TimePoint started) {
    probes_.insert(std::upper_bound(probes_.begin(), probes_.end(), started), started);
    oldest_probe_.store(probes_.front().time_since_epoch().count(), std::memory_order_relaxed);
}

void BreakerMachine::remove_probe(TimePoint started) {
    const auto place = std::lower_bound(probes_.begin(), probes_.end(), started);
    if (place == probes_.end() || *place != started) return;
    probes_.erase(place);
    if (!probes_.empty()) oldest_probe_.store(probes_.front().time_since_epoch().count(), std::memory_order_relaxed);
}

TimePoint BreakerMachine::overdue_at() const noexcept {
    return saturating_add(TimePoint{Duration{oldest_probe_.load(std::memory_order_relaxed)}}, max_half_open_);
}

CircuitState BreakerMachine::effective(const BreakerWord& word, TimePoint now) const noexcept {
    if (word.state == CircuitState::open) return now < open_end() ? CircuitState::open : CircuitState::half_open;
    if (word.state == CircuitState::half_open && is_overdue(word, now))
        return now < saturating_add(overdue_at(), timeout_) ? CircuitState::open : CircuitState::half_open;
    return word.state;
}

CircuitState BreakerMachine::state(TimePoint now) const {
    const Lock lock{mutex_};
    return effective(control_.load(), now);
}

std::uint32_t BreakerMachine::admissible(TimePoint now) const {
    const Lock lock{mutex_};
    const auto word = control_.load();
    switch (effective(word, now)) {
        case CircuitState::open:
        case CircuitState::forced_open:
            return 0;
        case CircuitState::half_open: {
            const bool goes_on = word.state == CircuitState::half_open && !is_overdue(word, now);
            return goes_on ? control_.free_probes(word) : success_threshold_;
        }
        default:
            return std::numeric_limits<std::uint32_t>::max();
    }
}

std::optional<TimePoint> BreakerMachine::next_change(TimePoint now) const {
    const Lock lock{mutex_};
    const auto word = control_.load();
    auto at = TimePoint::min();
    if (word.state == CircuitState::open) at = open_end();
    if (word.state == CircuitState::half_open && word.in_flight > 0)
        at = is_overdue(word, now) ? saturating_add(overdue_at(), timeout_) : overdue_at();
    return at > now ? std::optional{at} : std::nullopt;
}

BreakerMachine::Snapshot BreakerMachine::snapshot(TimePoint now) const {
    const Lock lock{mutex_};
    const auto word = control_.load();
    const auto state = effective(word, now);
    Snapshot snapshot{.state = state,
                      .window = window_.counts(),
                      .open_until = std::nullopt,
                      .last_transition = last_transition_,
                      .last_opened = last_opened_,
                      .last_closed = last_closed_,
                      .rejected = rejected_.sum(),
                      .late = late_.load(std::memory_order_relaxed),
                      .cancelled = cancelled_.load(std::memory_order_relaxed),
                      .ignored = ignored_.load(std::memory_order_relaxed),
                      .throttled = throttled_.load(std::memory_order_relaxed),
                      .opened = opened_};
    if (state == CircuitState::open)
        snapshot.open_until = word.state == CircuitState::open ? open_end() : saturating_add(overdue_at(), timeout_);
    return snapshot;
}

} // namespace velostream
