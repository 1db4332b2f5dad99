// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "velostream/base/observer.hpp"
#include "velostream/core/thread_seat.hpp"

namespace velostream {

namespace detail {

// How many threads are telling an observer something, by their seat: of all components together, so that each needs no
// memory for it. On cache lines of their own: an outage lets many threads tell of refusals at the same time.
struct alignas(64) TellingThreads {
    std::atomic<std::uint64_t> count{0};
};
inline constinit std::array<TellingThreads, thread_seats> telling_threads{};

} // namespace detail

/// The observer of a component, which another one may replace while threads are telling it something. Telling takes no
/// lock; without an observer it is one load.
///
/// An observer that was replaced is let go of at once, or, where some thread was just telling an observer something, by
/// the next replacement that finds none: so at most as many are kept as were replaced since then.
///
/// Threads: safe; `locked_set` needs a lock of the component.
class CurrentObserver {
  public:
    explicit CurrentObserver(std::shared_ptr<Observer> observer) : current_(observer.get()) {
        kept_.push_back(std::move(observer));
    }
    CurrentObserver(const CurrentObserver&) = delete;
    CurrentObserver& operator=(const CurrentObserver&) = delete;

    /// From now on `observer`, or none if it is null. The one before may still be told what is being told now. Returns
    /// those that are of no use any more: to be let go of without the lock.
    [[nodiscard]] std::vector<std::shared_ptr<Observer>> locked_set(std::shared_ptr<Observer> observer) {
        std::vector<std::shared_ptr<Observer>> replaced;
        replaced.reserve(kept_.size());
        kept_.reserve(kept_.size() + 1);
        // Whoever reads the earlier one has counted himself before: in the order of all these operations, which is
        // what seq_cst is for here, so also before this, and is seen below unless he has gone.
        current_.store(observer.get(), std::memory_order_seq_cst);
        kept_.push_back(std::move(observer));
        if (is_anybody_told()) return replaced;
        const auto last = kept_.end() - 1;
        std::move(kept_.begin(), last, std::back_inserter(replaced));
        kept_.erase(kept_.begin(), last);
        return replaced;
    }

    /// Calls `tell(observer)`, if there is one.
    template <class Tell>
    void tell(Tell tell) const {
        if (!current_.load(std::memory_order_relaxed)) return;
        const Telling telling;
        if (auto* const observer = current_.load(std::memory_order_seq_cst)) tell(*observer);
    }

  private:
    class Telling {
      public:
        Telling() noexcept { count_.fetch_add(1, std::memory_order_seq_cst); }
        Telling(const Telling&) = delete;
        Telling& operator=(const Telling&) = delete;
        // release: the observer ends after what was told to it.
        ~Telling() { count_.fetch_sub(1, std::memory_order_release); }

      private:
        std::atomic<std::uint64_t>& count_ = detail::telling_threads[thread_seat()].count;
    };

    static bool is_anybody_told() noexcept {
        for (const auto& telling : detail::telling_threads)
            if (telling.count.load(std::memory_order_seq_cst) != 0) return true;
        return false;
    }

    std::atomic<Observer*> current_;              // the last of those below
    std::vector<std::shared_ptr<Observer>> kept_; // guarded by the component's lock
};

} // namespace velostream
