// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/breaker_machine.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>
#include <utility>

namespace velostream {

namespace {

constexpr Duration coarse_enough = std::chrono::milliseconds{100}; // to ask the coarse clock first

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

std::uint32_t saturating_next(std::uint32_t count) noexcept {
    return count == std::numeric_limits<std::uint32_t>::max() ? count : count + 1;
}

bool keeps_a_window(CircuitState state) noexcept {
    return state == CircuitState::closed || state == CircuitState::metrics_only;
}

} // namespace

template <class Memory>
BasicBreakerMachine<Memory>::BasicBreakerMachine(const CircuitBreakerConfig& config, std::optional<std::uint64_t> seed,
                                                 std::pmr::memory_resource& memory, std::uint32_t epoch)
    : control_(static_cast<std::uint16_t>(config.success_threshold), epoch),
      window_(config, memory),
      waits_(config),
      probes_(&memory),
      seeded_(seed.has_value()),
      random_(seed.value_or(0)),
      unpublished_(&memory) {
    draw_ = random_.next();
    adopt(config);
    window_.begin_era(epoch);
    unpublished_.reserve(2);
    reserve_probes(config);
}

// Few probes need no memory later.
template <class Memory>
void BasicBreakerMachine<Memory>::reserve_probes(const CircuitBreakerConfig& config) {
    probes_.reserve(std::min<std::size_t>(config.success_threshold, 16));
}

template <class Memory>
auto BasicBreakerMachine<Memory>::reading_for(const CircuitBreakerConfig& config) noexcept -> Reading {
    if (!config.slow_call_threshold && !config.sliding_window_duration) return Reading::none;
    const auto buckets = static_cast<Duration::rep>(config.sliding_window_buckets);
    const auto shortest = std::min(config.slow_call_threshold.value_or(Duration::max()),
                                   config.sliding_window_duration.value_or(Duration::max()) / buckets);
    return shortest >= coarse_enough ? Reading::coarse : Reading::exact;
}

template <class Memory>
void BasicBreakerMachine<Memory>::adopt(const CircuitBreakerConfig& config) noexcept {
    success_threshold_ = static_cast<std::uint16_t>(config.success_threshold);
    max_half_open_ =
        config.max_half_open_duration.value_or(std::max<Duration>(config.timeout, std::chrono::seconds{60}));
    waits_ = OpenWait{config};
    slow_after_.store(config.slow_call_threshold.value_or(Duration::zero()).count(), std::memory_order_relaxed);
    reading_.store(reading_for(config), std::memory_order_relaxed);
    if (!waits_.has_jitter() || std::exchange(seeded_, true)) return;
    random_.seed(BackoffRandom{}.next());
    draw_ = random_.next();
}

template <class Memory>
bool BasicBreakerMachine<Memory>::reconfigure(const CircuitBreakerConfig& config, TimePoint now) {
    const Lock lock{mutex_};
    reserve_probes(config);
    window_.reconfigure(config, now);
    const bool settled = settle_locked(now);
    adopt(config);
    return settled;
}

template <class Memory>
auto BasicBreakerMachine<Memory>::try_acquire(TimePoint now) noexcept -> Admission {
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
                probe_limit_ = max_half_open_;
                if (!try_add_probe(now)) return refuse();
                change(word, CircuitState::half_open, {.cause = BreakerCause::timeout_elapsed, .at = now});
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
                if (!try_add_probe(now)) return refuse();
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

template <class Memory>
BreakerEffect BasicBreakerMachine<Memory>::count_late() noexcept {
    late_.fetch_add(1, std::memory_order_relaxed);
    return BreakerEffect::none;
}

template <class Memory>
BreakerEffect BasicBreakerMachine<Memory>::record_unusual(const BreakerPermit& permit, CallOutcomeKind kind,
                                                          TimePoint now, const Error* error) {
    const auto word = control_.load();
    if (word.epoch != permit.epoch) return count_late();
    if (permit.probe) return record_probe(permit, kind, now, error);
    if (word.state == CircuitState::metrics_only)
        window_.record(word.epoch, kind == CallOutcomeKind::failure, is_slow(permit, now), now);
    return BreakerEffect::none; // disabled: nothing is judged, and only what is undecided is counted
}

template <class Memory>
BreakerEffect BasicBreakerMachine<Memory>::record_probe(const BreakerPermit& permit, CallOutcomeKind kind,
                                                        TimePoint now, const Error* error) {
    const Lock lock{mutex_};
    const bool settled = settle_locked(now);
    const auto word = control_.load();
    if (word.epoch != permit.epoch) {
        count_late();
        return settled ? BreakerEffect::state_changed : BreakerEffect::none;
    }
    if (kind == CallOutcomeKind::failure || is_slow(permit, now)) {
        const auto cause = kind == CallOutcomeKind::failure ? BreakerCause::probe_failed : BreakerCause::probe_slow;
        change(word, CircuitState::open, {.cause = cause, .at = now}, error);
        return BreakerEffect::state_changed;
    }
    remove_probe(permit.started);
    if (word.succeeded + 1 == control_.probe_limit()) window_.begin_era(word.next(CircuitState::closed).epoch);
    const auto succeeded = control_.probe_limit();
    if (control_.succeed_probe(permit.epoch) != ProbeVerdict::decided) return BreakerEffect::permit_returned;
    note_change({.from = word.state,
                 .to = CircuitState::closed,
                 .cause = BreakerCause::probes_succeeded,
                 .at = now,
                 .counts = judged_,
                 .threshold = static_cast<double>(succeeded)});
    return BreakerEffect::state_changed;
}

template <class Memory>
BreakerEffect BasicBreakerMachine<Memory>::record_undecided(const BreakerPermit& permit, CallOutcomeKind kind,
                                                            TimePoint now) {
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

template <class Memory>
BreakerEffect BasicBreakerMachine<Memory>::open(std::uint32_t epoch, const Judgement& judgement, TimePoint now,
                                                const Error* error) {
    const Lock lock{mutex_};
    const auto word = control_.load();
    if (word.epoch != epoch) return BreakerEffect::none; // a call that ended at the same time has done it
    judged_ = judgement.counts;
    change(word, CircuitState::open,
           {.cause = cause_of(judgement.rule), .at = now, .counts = judged_, .threshold = judgement.threshold}, error);
    return BreakerEffect::state_changed;
}

template <class Memory>
void BasicBreakerMachine<Memory>::change(const BreakerWord& from, CircuitState to, BreakerTransition transition,
                                         const Error* error) noexcept {
    // All that belongs to the new state is written before the control word publishes it.
    const auto at = transition.at;
    const bool is_judged = from.state == CircuitState::closed && to == CircuitState::open;
    if (!is_judged) transition.counts = judged_ = shown(from.state, at);
    if (to == CircuitState::open) {
        reopenings_ = from.state == CircuitState::half_open ? saturating_next(reopenings_) : 0;
        transition.wait = waits_.wait(reopenings_, draw_, error ? error->retry_after() : std::nullopt);
        draw_ = random_.next();
        open_until_.store(saturating_add(at, transition.wait).time_since_epoch().count(), std::memory_order_relaxed);
    }
    if (to == CircuitState::half_open) {
        transition.wait = at - *last_opened_;
        control_.set_probe_limit(success_threshold_);
    }
    if (keeps_a_window(to)) window_.begin_era(from.next(to).epoch);
    control_.change(from.epoch, to, to == CircuitState::half_open ? 1 : 0);
    transition.from = from.state;
    transition.to = to;
    transition.resets = resets_;
    if (error) transition.error = *error;
    note_change(std::move(transition));
}

template <class Memory>
void BasicBreakerMachine<Memory>::note_change(BreakerTransition transition) noexcept {
    const auto to = transition.to;
    if (transition.from == to) return;
    if (to != CircuitState::half_open) probes_.clear();
    last_transition_ = transition.at;
    if (to == CircuitState::open) {
        last_opened_ = transition.at;
        ++opened_;
    }
    if (to == CircuitState::closed) last_closed_ = transition.at;
    try {
        unpublished_.push_back(std::move(transition));
    } catch (const std::bad_alloc&) { // then it is one with the one before it, and nothing if that leads back
        auto& last = unpublished_.back();
        transition.from = last.from;
        last = std::move(transition);
        if (last.from == to) unpublished_.pop_back();
    }
}

template <class Memory>
TimePoint BasicBreakerMachine<Memory>::reopens_until(TimePoint from) const noexcept {
    return saturating_add(from, waits_.wait(saturating_next(reopenings_), draw_));
}

template <class Memory>
bool BasicBreakerMachine<Memory>::settle(TimePoint now) {
    if (control_.load().state != CircuitState::half_open) return false;
    const Lock lock{mutex_};
    return settle_locked(now);
}

template <class Memory>
bool BasicBreakerMachine<Memory>::settle_locked(TimePoint now) noexcept {
    const auto word = control_.load();
    if (word.state != CircuitState::half_open || !is_overdue(word, now)) return false;
    change(word, CircuitState::open, {.cause = BreakerCause::probe_overdue, .at = overdue_at()});
    return true;
}

template <class Memory>
bool BasicBreakerMachine<Memory>::set_state(CircuitState to, TimePoint now) {
    const Lock lock{mutex_};
    const auto word = control_.load();
    if (word.state == to) return false;
    change(word, to, {.cause = BreakerCause::manual, .at = now});
    return true;
}

template <class Memory>
bool BasicBreakerMachine<Memory>::reset(TimePoint now) {
    const Lock lock{mutex_};
    const auto word = control_.load();
    ++resets_;
    change(word, CircuitState::closed, {.cause = BreakerCause::manual, .at = now});
    return word.state != CircuitState::closed;
}

template <class Memory>
bool BasicBreakerMachine<Memory>::try_add_probe(TimePoint started) noexcept {
    try {
        probes_.insert(std::upper_bound(probes_.begin(), probes_.end(), started), started);
    } catch (const std::bad_alloc&) {
        return false;
    }
    note_oldest_probe();
    return true;
}

template <class Memory>
void BasicBreakerMachine<Memory>::remove_probe(TimePoint started) noexcept {
    const auto place = std::lower_bound(probes_.begin(), probes_.end(), started);
    if (place == probes_.end() || *place != started) return;
    probes_.erase(place);
    if (!probes_.empty()) note_oldest_probe();
}

template <class Memory>
void BasicBreakerMachine<Memory>::note_oldest_probe() noexcept {
    const auto overdue = saturating_add(probes_.front(), probe_limit_);
    overdue_at_.store(overdue.time_since_epoch().count(), std::memory_order_relaxed);
}

template <class Memory>
CircuitState BasicBreakerMachine<Memory>::effective(const BreakerWord& word, TimePoint now) const noexcept {
    if (word.state == CircuitState::open) return now < open_end() ? CircuitState::open : CircuitState::half_open;
    if (word.state == CircuitState::half_open && is_overdue(word, now))
        return now < reopens_until(overdue_at()) ? CircuitState::open : CircuitState::half_open;
    return word.state;
}

template <class Memory>
OutcomeCounts BasicBreakerMachine<Memory>::shown(CircuitState state, TimePoint now) const noexcept {
    return keeps_a_window(state) ? window_.counts(now) : judged_;
}

template <class Memory>
CircuitState BasicBreakerMachine<Memory>::state(TimePoint now) const {
    const Lock lock{mutex_};
    return effective(control_.load(), now);
}

template <class Memory>
bool BasicBreakerMachine<Memory>::is_pristine(TimePoint now) const {
    const Lock lock{mutex_};
    if (control_.load().state != CircuitState::closed || !unpublished_.empty()) return false;
    const auto counts = window_.counts(now);
    return counts.failures == 0 && counts.slow == 0;
}

template <class Memory>
std::uint32_t BasicBreakerMachine<Memory>::admissible(TimePoint now) const {
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

template <class Memory>
std::optional<TimePoint> BasicBreakerMachine<Memory>::next_change(TimePoint now) const {
    const Lock lock{mutex_};
    const auto word = control_.load();
    auto at = TimePoint::min();
    if (word.state == CircuitState::open) at = open_end();
    if (word.state == CircuitState::half_open && word.in_flight > 0)
        at = is_overdue(word, now) ? reopens_until(overdue_at()) : overdue_at();
    return at > now ? std::optional{at} : std::nullopt;
}

template <class Memory>
BreakerSnapshot BasicBreakerMachine<Memory>::snapshot(TimePoint now) const {
    const Lock lock{mutex_};
    const auto word = control_.load();
    const auto state = effective(word, now);
    BreakerSnapshot snapshot{.state = state,
                             .window = shown(word.state, now),
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
        snapshot.open_until = word.state == CircuitState::open ? open_end() : reopens_until(overdue_at());
    return snapshot;
}

template class BasicBreakerMachine<SharedMemory>;
template class BasicBreakerMachine<ConfinedMemory>;

} // namespace velostream
