// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/outcome_window.hpp"

#include <limits>
#include <utility>

namespace velostream {

namespace {

constexpr auto never = std::numeric_limits<Duration::rep>::max();

} // namespace

template <class Memory>
auto BasicOutcomeWindow<Memory>::history_for(const CircuitBreakerConfig& config, std::pmr::memory_resource& memory)
    -> History {
    if (config.sliding_window_duration)
        return TimedOutcomes{*config.sliding_window_duration, config.sliding_window_buckets, memory};
    return CountedOutcomes{config.sliding_window_size, memory};
}

template <class Memory>
BasicOutcomeWindow<Memory>::BasicOutcomeWindow(const CircuitBreakerConfig& config, std::pmr::memory_resource& memory)
    : rules_(config), history_(history_for(config, memory)), memory_(memory), bucket_end_(never) {
    look_again();
}

template <class Memory>
auto BasicOutcomeWindow<Memory>::record_and_judge(std::uint32_t era, bool failed, bool slow, TimePoint now) noexcept
    -> Recorded {
    const Lock lock{mutex_};
    if (era_ != era) return {WindowEntry::late, std::nullopt};
    advance(now);
    shards_.count(Memory::seat(), era);
    const auto all = shards_.outcomes(); // under the lock, so that positions ascend
    if (auto* timed = std::get_if<TimedOutcomes>(&history_))
        timed->note(failed, slow);
    else
        std::get_if<CountedOutcomes>(&history_)->note(all, failed, slow);
    return {WindowEntry::to_judge, judgement_of(counts_of(all, TimePoint::min()))};
}

template <class Memory>
WindowEntry BasicOutcomeWindow<Memory>::look_at_minimum(std::uint32_t era) noexcept {
    const Lock lock{mutex_};
    if (era_ != era) return WindowEntry::to_judge;
    const auto all = shards_.outcomes();
    const auto* timed = std::get_if<TimedOutcomes>(&history_);
    const auto seen =
        timed ? timed->counts(TimePoint::min(), all).calls : std::get_if<CountedOutcomes>(&history_)->seen(all);
    if (seen > rules_.last_minimum()) shards_.unwatch(era);
    return WindowEntry::to_judge; // also beyond: of those that came at once nobody else may look
}

template <class Memory>
void BasicOutcomeWindow<Memory>::begin_bucket(std::uint32_t era, TimePoint now) noexcept {
    const Lock lock{mutex_};
    if (era_ == era) advance(now);
}

template <class Memory>
void BasicOutcomeWindow<Memory>::advance(TimePoint now) noexcept {
    auto* timed = std::get_if<TimedOutcomes>(&history_);
    if (!timed || now == TimePoint::min() || now < timed->bucket_end()) return;
    shards_.watch(); // before the outcomes are summed up: no later one goes unseen
    timed->advance(now, shards_.outcomes());
    look_again();
}

// What has left the window may have made a rate larger, or the outcomes too few for it.
template <class Memory>
void BasicOutcomeWindow<Memory>::look_again() noexcept {
    shards_.watch();
    const auto* timed = std::get_if<TimedOutcomes>(&history_);
    bucket_end_.store(timed ? timed->bucket_end().time_since_epoch().count() : never, std::memory_order_relaxed);
}

template <class Memory>
void BasicOutcomeWindow<Memory>::begin_era(std::uint32_t era) noexcept {
    const Lock lock{mutex_};
    era_ = era;
    std::visit([](auto& history) { history.clear(); }, history_);
    shards_.begin_era(era);
    look_again();
}

template <class Memory>
OutcomeCounts BasicOutcomeWindow<Memory>::counts_of(std::uint64_t all, TimePoint now) const noexcept {
    if (const auto* timed = std::get_if<TimedOutcomes>(&history_)) return timed->counts(now, all);
    return std::get_if<CountedOutcomes>(&history_)->counts(all);
}

template <class Memory>
OutcomeCounts BasicOutcomeWindow<Memory>::counts(TimePoint now) const noexcept {
    const Lock lock{mutex_};
    return counts_of(shards_.outcomes(), now);
}

template <class Memory>
auto BasicOutcomeWindow<Memory>::judgement_of(const OutcomeCounts& counts) const noexcept -> std::optional<Judgement> {
    const auto rule = rules_.judge(counts);
    if (!rule) return std::nullopt;
    return Judgement{*rule, rules_.threshold(*rule), counts};
}

template <class Memory>
auto BasicOutcomeWindow<Memory>::judge() const noexcept -> std::optional<Judgement> {
    const Lock lock{mutex_};
    return judgement_of(counts_of(shards_.outcomes(), TimePoint::min()));
}

template <class Memory>
void BasicOutcomeWindow<Memory>::reconfigure(const CircuitBreakerConfig& config, TimePoint now) {
    const BreakerRules rules{config};
    auto next = history_for(config, memory_);
    const Lock lock{mutex_};
    advance(now);
    const auto all = shards_.outcomes();
    auto* counted = std::get_if<CountedOutcomes>(&history_);
    auto* timed = std::get_if<TimedOutcomes>(&history_);
    if (auto* next_timed = std::get_if<TimedOutcomes>(&next)) {
        if (timed)
            next_timed->take_over(*timed, now, all);
        else
            next_timed->take_over(counted->counts(all), now, all);
        history_.template emplace<TimedOutcomes>(std::move(*next_timed));
    } else if (timed) {
        CountedOutcomes taken{*timed, all, config.sliding_window_size, memory_};
        history_.template emplace<CountedOutcomes>(std::move(taken));
    } else {
        counted->resize(config.sliding_window_size, all);
    }
    rules_ = rules;
    look_again();
}

template class BasicOutcomeWindow<SharedMemory>;
template class BasicOutcomeWindow<ConfinedMemory>;

} // namespace velostream
