// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "velostream/async/alarm.hpp"
#include "velostream/async/pending_reserve.hpp"
#include "velostream/base/result.hpp"
#include "velostream/sqlite/result.hpp"

namespace velostream::sqlite {

class ConnectionCore;
class Handle;

/// What is done with SQLite's connection, on a thread that may block. Called again if it waits for a lock.
using Work = std::function<Result<QueryResult>(Handle&)>;

/// One call of a connection: ended once, by its work, its deadline, a cancellation or its execution context.
class Call final : public velostream::detail::PendingReserve<QueryResult> {
  public:
    template <class Handler>
    Call(std::shared_ptr<ConnectionCore> core, Work work, asio::any_io_executor executor, Handler&& handler)
        : PendingReserve(std::move(executor), std::forward<Handler>(handler)),
          core_(std::move(core)),
          work_(std::move(work)) {}

    /// False if its context ends, and the call with it.
    bool begin(asio::cancellation_slot slot, TimePoint deadline) { return watch(slot, deadline, SteadyTime{}); }

    Result<QueryResult> work(Handle& handle) { return work_(handle); }
    void answer(Result<QueryResult> result) noexcept {
        if (end()) finish(std::move(result));
    }

    /// For the core, under its lock.
    bool end() noexcept { return !has_ended_.exchange(true); }
    bool has_ended() const noexcept { return has_ended_; }
    using PendingReserve::finish;

    /// When it is to try again: soon first, then ever later.
    TimePoint next_try(TimePoint now) noexcept {
        static constexpr std::array<int, 6> delays_in_ms{1, 2, 5, 10, 15, 25};
        if (tries == 0) waits_since = now;
        const auto index = std::min(tries++, delays_in_ms.size() - 1);
        return std::min(now + std::chrono::milliseconds{delays_in_ms[index]}, busy_until);
    }

    /// Lets the core hear of it when `patience` is over. Under its lock.
    void end_within(Duration patience, Errc why);

    // Guarded by the core's lock.
    std::optional<Errc> stopped_by; ///< while its work runs
    Alarm patience_ends;
    TimePoint busy_until{};
    TimePoint waits_since{};
    std::size_t tries = 0;

  private:
    void give_up(Errc why) override;
    void leave_queue() noexcept override;

    const std::shared_ptr<ConnectionCore> core_;
    const Work work_;
    std::atomic<bool> has_ended_{false}; // whoever sets it ends the call
};

} // namespace velostream::sqlite
