// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "velostream/core/memory_account.hpp"
#include "velostream/core/reclaim_plan.hpp"
#include "velostream/reclaimer.hpp"
#include "weak_list.hpp"

namespace velostream {

/// Asks reclaimers, one at a time, until enough is free or nobody is left. Needs no thread of its own: whoever is short
/// of memory begins a reclaim, and each reclaimer's end leads to the next one.
///
/// Threads: safe. No user code runs under its mutex.
class ReclaimCoordinator : public std::enable_shared_from_this<ReclaimCoordinator> {
  public:
    /// `clock` says when it is; `rest` how long nobody is asked again after a reclaim for which nobody was left.
    ReclaimCoordinator(MemoryAccount process, std::function<TimePoint()> clock, Duration rest)
        : process_(std::move(process)), clock_(std::move(clock)), rest_(rest) {}

    std::shared_ptr<void> add(asio::any_io_executor executor, MemoryAccount account,
                              std::shared_ptr<Reclaimer> reclaimer);

    /// Begins a reclaim that brings the use of the process down to `target`, or lets the one under way go so far.
    void request(Bytes target);

    ReclaimStats stats() const;

  private:
    struct Entry {
        std::size_t id;
        asio::any_io_executor executor;
        MemoryAccount account;
        std::shared_ptr<Reclaimer> reclaimer;
    };
    class Step;
    class Call;

    void ask_next();
    void on_ended(const Entry& entry, Bytes used_before, bool has_thrown) noexcept;
    void give_up() noexcept;
    std::vector<std::shared_ptr<Entry>> entries();

    const MemoryAccount process_;
    const std::function<TimePoint()> clock_;
    const Duration rest_;

    mutable std::mutex mutex_; // guards what follows
    WeakList<Entry> entries_;
    std::size_t next_id_ = 0;
    std::optional<ReclaimPlan> plan_; // of the reclaim under way
    Bytes target_ = 0;
    TimePoint rests_until_ = TimePoint::min();
    ReclaimStats stats_;
};

} // namespace velostream
