// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/bulkhead_line.hpp"
#include "velostream/config/adaptive_limit_config.hpp"
#include "velostream/core/concurrency_gradient.hpp"
#include "velostream/core/latency_window.hpp"

namespace velostream {

/// An adaptive limit at one moment, and what it did so far.
struct AdaptiveLimitStats {
    std::size_t limit = 0;           ///< as it is now
    std::size_t in_use = 0;          ///< calls that run; more than `limit` only after that has fallen
    std::size_t waiting = 0;         ///< calls in the line
    bool is_measuring = false;       ///< the limit is low for a window, to measure the latency without load
    Duration latency_without_load{}; ///< as far as known; zero at first
    Duration recent_latency{};       ///< of the last window that was judged
    std::uint64_t windows = 0;       ///< windows that were judged
    std::uint64_t dropped = 0;       ///< calls that ended as if the service had too much to do
    std::uint64_t late = 0;          ///< calls that began under an earlier limit, and were not judged
    std::uint64_t refused = 0;       ///< calls that found no room in the line, or no memory to wait there
    std::uint64_t timed_out = 0;     ///< calls whose time in the line was over
    std::uint64_t cancelled = 0;     ///< calls that were cancelled in the line
};

/// Whether an error says that the service has too much to do. Must be safe to call from several threads.
using OverloadPredicate = std::function<bool(const Error&)>;

namespace detail {

Error::SharedText why_adaptive_limit_full(const AdaptiveLimitConfig& config);
// One that throws says yes.
bool is_overload(const OverloadPredicate& predicate, const Error& error) noexcept;

/// The permits of a bulkhead whose number follows from how its calls end.
///
/// A call that ends well adds its latency to one word. Who completes a window judges it under a mutex of its own, moves
/// the limit, and opens the next window in that order: a call that sees the new epoch begins under the new limit. Calls
/// that end meanwhile are not counted, and wait for nobody.
template <TimeSource Time>
class AdaptiveLimitLine final : public BulkheadLine<Time> {
    using Base = BulkheadLine<Time>;

  public:
    using Epoch = ConcurrencyGradient::Epoch;

    AdaptiveLimitLine(const AdaptiveLimitConfig& config, LimiterEvents events, Time time, OverloadPredicate is_dropped,
                      MemoryAccount account)
        : Base({.max_concurrent = config.initial_limit, .max_waiting = config.max_waiting, .max_wait = config.max_wait},
               std::move(events), std::move(time), std::move(account), why_adaptive_limit_full(config)),
          is_dropped_(std::move(is_dropped)),
          gradient_(config),
          needed_(gradient_.window()) {}

    /// To be read before a permit is taken: so the permit is never of an earlier limit than it says.
    Epoch epoch() const noexcept { return window_.epoch(); }

    /// A call of this epoch, whose permit is still out, has ended well.
    void on_served(Epoch epoch, Duration latency) noexcept {
        const auto load = this->control_.load();
        // relaxed: who reads an old number leaves the window to the next one.
        const auto needed = needed_.load(std::memory_order_relaxed);
        const auto recorded = window_.record(epoch, latency, crowding_of(load.in_use, load.limit), needed);
        if (recorded != LatencyWindow<>::Recorded::counted) [[unlikely]]
            on_not_counted(recorded);
    }
    /// It has failed.
    void on_failure(Epoch epoch, const Error& error) noexcept {
        if (!detail::is_overload(is_dropped_, error)) return;
        std::optional<ConcurrencyGradient::Change> change;
        {
            const std::scoped_lock lock{judging_};
            ++dropped_;
            if (epoch != window_.epoch()) return note_late();
            change = gradient_.on_drop();
            locked_apply(epoch);
        }
        tell(change);
    }

    AdaptiveLimitStats get_adaptive_stats() const noexcept {
        const auto line = this->get_stats();
        const std::scoped_lock lock{judging_};
        return {.limit = line.max_concurrent,
                .in_use = line.in_use,
                .waiting = line.waiting,
                .is_measuring = gradient_.is_measuring(),
                .latency_without_load = gradient_.latency_without_load(),
                .recent_latency = gradient_.recent_latency(),
                .windows = windows_,
                .dropped = dropped_,
                .late = late_.load(std::memory_order_relaxed),
                .refused = line.refused,
                .timed_out = line.timed_out,
                .cancelled = line.cancelled};
    }

  private:
    [[gnu::noinline]] void on_not_counted(LatencyWindow<>::Recorded recorded) noexcept {
        if (recorded == LatencyWindow<>::Recorded::late) return note_late();
        std::optional<ConcurrencyGradient::Change> change;
        {
            const std::unique_lock lock{judging_, std::try_to_lock};
            if (!lock) return; // somebody judges it, or the next one will
            const auto samples = window_.samples();
            if (samples.count < needed_.load(std::memory_order_relaxed)) return; // another window by now
            ++windows_;
            const auto epoch = gradient_.epoch();
            change = gradient_.on_window(samples);
            if (gradient_.epoch() == epoch) window_.begin(epoch);
            locked_apply(epoch);
        }
        tell(change);
    }
    // What the gradient came to, which was in epoch `before`.
    void locked_apply(Epoch before) noexcept {
        if (gradient_.epoch() == before) return;
        this->move_limit(gradient_.limit(), gradient_.epoch());
        needed_.store(gradient_.window(), std::memory_order_relaxed);
        window_.begin(gradient_.epoch());
    }
    // After it took effect, and without a mutex.
    void tell(const std::optional<ConcurrencyGradient::Change>& change) const noexcept {
        if (change) this->events().limit_changed(change->from, change->to, to_string(change->why));
    }
    void note_late() noexcept { late_.fetch_add(1, std::memory_order_relaxed); } // relaxed: counts only

    const OverloadPredicate is_dropped_;
    mutable std::mutex judging_; // before the mutex of the line
    // Guarded by `judging_`, which also has to be held to begin a window.
    ConcurrencyGradient gradient_;
    std::uint64_t windows_ = 0, dropped_ = 0;

    std::atomic<std::uint32_t> needed_;
    std::atomic<std::uint64_t> late_{0};
    alignas(64) LatencyWindow<> window_; // every call writes it
};

} // namespace detail

} // namespace velostream
