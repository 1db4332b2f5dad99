// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/base/units.hpp"
#include "velostream/config/retry_budget_config.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/retry_budget_window.hpp"
#include "velostream/core/thread_seat.hpp"

namespace velostream {

/// What a retry budget holds and did.
struct RetryBudgetStats {
    std::uint64_t calls = 0;     ///< in the last window
    std::uint64_t retries = 0;   ///< in the last window: made, or waiting to be made
    std::uint64_t allowed = 0;   ///< retries that the window's calls and the reserve pay for
    std::uint64_t withdrawn = 0; ///< retries that were granted, since the beginning
    std::uint64_t refunded = 0;  ///< of these, given back because they were not made
    std::uint64_t refused = 0;   ///< retries that were not granted
};

/// Bounds how much load retries add, over all calls of all who share it: retry executors, and whoever else makes calls
/// more often than they were asked for.
///
/// ```cpp
/// RetryBudget budget{RetryBudgetConfig{.ratio = 0.1, .reserve_per_second = 1}};
/// RetryExecutor orders{config, RetryOptions{.budget = budget}};
/// RetryExecutor prices{config, RetryOptions{.budget = budget}};
/// ```
///
/// A retry is granted if the retries of the last `window`, with it, are at most `ratio` × its calls +
/// `reserve_per_second` × its seconds; compared without rounding. The window moves in tenths: it holds the current
/// tenth and the nine before. So, over any stretch of time: retries ≤ `ratio` × the calls since one window before it +
/// `reserve_per_second` × (its seconds + 1.1 windows), for any number of threads.
///
/// This is a handle: copies mean the same budget. Time is an argument; all who share a budget tell it by one clock.
///
/// Errors:  the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads: safe, lock-free.
class RetryBudget {
    struct State;

  public:
    /// `account` is charged with its window, about 1.5 KiB.
    ///
    /// Throws `MemoryRefusedException` if `account` has no room for that.
    explicit RetryBudget(const RetryBudgetConfig& config = {}, MemoryAccount account = {});

    /// Leave for one retry. It is paid back unless the retry is made.
    ///
    /// Threads:  belongs to one call at a time.
    /// Lifetime: not longer than its budget.
    class Withdrawal {
      public:
        Withdrawal(Withdrawal&& other) noexcept
            : state_(std::exchange(other.state_, nullptr)), bucket_(other.bucket_) {}
        Withdrawal& operator=(Withdrawal&& other) noexcept {
            Withdrawal{std::move(other)}.swap(*this);
            return *this;
        }
        ~Withdrawal() {
            if (state_) refund();
        }

        /// The retry is made now: it stays withdrawn.
        void spend() noexcept { state_ = nullptr; }

      private:
        friend RetryBudget;
        Withdrawal(State& state, std::uint64_t bucket) noexcept : state_(&state), bucket_(bucket) {}
        void refund() const noexcept;
        void swap(Withdrawal& other) noexcept {
            std::swap(state_, other.state_);
            std::swap(bucket_, other.bucket_);
        }

        State* state_; // null once it is spent
        std::uint64_t bucket_;
    };

    /// A call was made, by whoever shares the budget: a first try, not a retry. Costs one uncontended atomic operation.
    void record_call(TimePoint now) const noexcept {
        state_->window.add_call(thread_seat() % Window::shards, state_->bucket_at(now));
    }

    /// Takes leave for one retry: when it is decided, before the wait for it. Empty if there is none.
    [[nodiscard]] std::optional<Withdrawal> try_withdraw(TimePoint now) const noexcept;

    /// The figures of the window that ends now. Each is right by itself; calls that end meanwhile may be in some.
    RetryBudgetStats get_stats(TimePoint now) const noexcept;

    const RetryBudgetConfig& config() const noexcept { return state_->config; }

    /// Whether both are handles of one budget.
    friend bool operator==(const RetryBudget& left, const RetryBudget& right) noexcept {
        return left.state_ == right.state_;
    }

  private:
    using Window = RetryBudgetWindow<>;

    // The rule in whole numbers: (retries × `scale`) ≤ calls × `per_call` + `reserve`.
    struct Rule {
        explicit Rule(const RetryBudgetConfig& config) noexcept;
        bool operator()(std::uint64_t retries, std::uint64_t calls) const noexcept;
        std::uint64_t allowed(std::uint64_t calls) const noexcept;

        __extension__ using Wide = unsigned __int128;
        Wide scale, per_call, reserve;
    };

    struct State {
        explicit State(const RetryBudgetConfig& settings);

        // Numbers begin where no bucket is old enough to be taken for one of the window.
        std::uint64_t bucket_at(TimePoint now) const noexcept {
            const auto since = now.time_since_epoch().count();
            const auto number = since > 0 ? static_cast<std::uint64_t>(since) / bucket_length : 0;
            return std::min(number + Window::buckets, Window::last_bucket);
        }

        const RetryBudgetConfig config;
        const Rule allows;
        const std::uint64_t bucket_length; // in nanoseconds
        Window window;
        std::atomic<std::uint64_t> withdrawn{0}, refunded{0}, refused{0}; // relaxed: counts only
    };

    std::shared_ptr<State> state_;
};

} // namespace velostream
