// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <variant>

#include "velostream/core/breaker_memory.hpp"
#include "velostream/core/breaker_rules.hpp"
#include "velostream/core/counted_outcomes.hpp"
#include "velostream/core/outcome_shards.hpp"
#include "velostream/core/timed_outcomes.hpp"

namespace velostream {

/// What recording an outcome asks for.
enum class WindowEntry : std::uint8_t {
    late,     ///< its era is over: nothing was recorded
    counted,  ///< recorded; it cannot have made the circuit worth opening
    to_judge, ///< recorded; ask `judge`
};

/// The last outcomes of calls, and the rules by which they open a circuit: so many of the last outcomes, or all of the
/// last while.
///
/// A fast success only adds one to a counter that hardly any other thread writes; in a window of time it looks at the
/// clock first, whether a bucket of time has ended. A failure or slow call asks all these counters how many outcomes
/// there have been. In a window of a number of outcomes that is its position, and it is in the window while its
/// position is above (all outcomes − size). In a window of time each bucket remembers how many there had been when it
/// began. So the many successes of a healthy service cost next to nothing, on any number of cores, and the few failures
/// pay for the exact picture.
///
/// The window belongs to one *era*, the epoch of the closed state that it judges. A recorder of an earlier era finds
/// that its counter is of another one and records nothing.
///
/// Exactness:    one recorder at a time, whatever its thread: exactly the last outcomes. With `t` recorders at once,
///               give or take the `t` outcomes that are being recorded, and, in a window of time, the `t` that were
///               being recorded when its oldest bucket began; none of them is lost, and the last of several failures
///               sees them all.
/// Threads:      safe; successes are lock-free, failures, slow calls, the first outcomes up to a minimum and the first
///               of a bucket take a mutex.
/// Lifetime:     the memory must outlive it.
template <class Memory>
class BasicOutcomeWindow {
  public:
    /// Throws `std::bad_alloc` if there is no memory for an empty window.
    explicit BasicOutcomeWindow(const CircuitBreakerConfig& config,
                                std::pmr::memory_resource& memory = *std::pmr::get_default_resource());

    /// Records a fast success in `era`, of no particular time: into the present bucket of a window of time.
    WindowEntry record_success(std::uint32_t era) noexcept {
        if (!shards_.count(Memory::seat(), era)) [[unlikely]]
            return WindowEntry::late;
        return shards_.is_watched(era) ? look_at_minimum(era) : WindowEntry::counted;
    }

    /// Records a fast success in `era` at `now`.
    WindowEntry record_success(std::uint32_t era, TimePoint now) noexcept {
        // relaxed: a bucket that has begun meanwhile takes this outcome too.
        if (now.time_since_epoch().count() >= bucket_end_.load(std::memory_order_relaxed)) [[unlikely]]
            begin_bucket(era, now);
        return record_success(era);
    }

    /// A rule that says open, and what it looked at.
    struct Judgement {
        BreakerRule rule;
        double threshold;
        OutcomeCounts counts;
    };
    std::optional<Judgement> judge() const noexcept;

    /// Records any outcome in `era` at `now`, which only a window of time looks at.
    WindowEntry record(std::uint32_t era, bool failed, bool slow, TimePoint now = TimePoint::min()) noexcept {
        return record_and_judge(era, failed, slow, now).entry;
    }

    struct Recorded {
        WindowEntry entry;
        std::optional<Judgement> judgement;
    };
    /// The same, and what `judge` says to it.
    Recorded record_and_judge(std::uint32_t era, bool failed, bool slow, TimePoint now = TimePoint::min()) noexcept;

    /// Ends the era before: an empty window. Not to be called by several threads at once.
    void begin_era(std::uint32_t era) noexcept;

    /// At `now`, or at the time of the newest outcome.
    OutcomeCounts counts(TimePoint now = TimePoint::min()) const noexcept;

    /// From now on another window and other rules, which look with the next outcome at what the window holds. What it
    /// holds stays, as far as the new one has room: of a number of outcomes the newest; those that change from a number
    /// to a time are taken for those of `now`, and those of a bucket of time for those of its beginning.
    ///
    /// Throws `std::bad_alloc`, and then changes nothing.
    void reconfigure(const CircuitBreakerConfig& config, TimePoint now);

  private:
    using Lock = std::lock_guard<typename Memory::Mutex>;
    using History = std::variant<CountedOutcomes, TimedOutcomes>;

    static History history_for(const CircuitBreakerConfig& config, std::pmr::memory_resource& memory);
    WindowEntry look_at_minimum(std::uint32_t era) noexcept;
    void begin_bucket(std::uint32_t era, TimePoint now) noexcept;
    // All of these with the mutex.
    void advance(TimePoint now) noexcept;
    void look_again() noexcept;
    OutcomeCounts counts_of(std::uint64_t all, TimePoint now) const noexcept;
    std::optional<Judgement> judgement_of(const OutcomeCounts& counts) const noexcept;

    mutable typename Memory::Mutex mutex_;
    std::uint32_t era_ = 0; // guarded by the mutex, as the next two
    BreakerRules rules_;
    mutable History history_;
    std::pmr::memory_resource& memory_;

    // Read by every success, seldom written, and only under the mutex: as whether outcomes are watched.
    alignas(Memory::alignment) typename Memory::template Atomic<Duration::rep> bucket_end_; // of a window of time
    OutcomeShards<Memory::template Atomic, Memory::shards, Memory::alignment> shards_;
};

extern template class BasicOutcomeWindow<SharedMemory>;
extern template class BasicOutcomeWindow<ConfinedMemory>;

using OutcomeWindow = BasicOutcomeWindow<SharedMemory>;

} // namespace velostream
