// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "velostream/async/pending_reserve.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/spool_types.hpp"

namespace velostream {

class SpoolLog;

namespace detail {

class SpoolDesk;

/// What somebody asks of a spool: ended once, by the disk, its deadline, a cancellation or its execution context.
template <class T>
class SpoolRequest : public PendingReserve<T> {
  public:
    template <class Handler>
    SpoolRequest(std::weak_ptr<SpoolDesk> desk, asio::any_io_executor executor, Handler&& handler)
        : PendingReserve<T>(std::move(executor), std::forward<Handler>(handler)), desk_(std::move(desk)) {}

    /// False if its context ends, and the request with it.
    template <TimeSource Time>
    bool begin(asio::cancellation_slot slot, TimePoint deadline, const Time& time) {
        return this->watch(slot, deadline, time);
    }
    /// From the disk's side.
    void answer(Result<T> result) noexcept {
        if (end()) this->finish(std::move(result));
    }
    bool has_ended() const noexcept { return has_ended_.load(std::memory_order_relaxed); }

  protected:
    bool end() noexcept { return !has_ended_.exchange(true); }

    const std::weak_ptr<SpoolDesk> desk_; // its queue holds requests

  private:
    void give_up(Errc why) override;
    void leave_queue() noexcept override;

    std::atomic<bool> has_ended_{false}; // whoever sets it ends the request
};

class SpoolAppend final : public SpoolRequest<std::uint64_t> {
  public:
    template <class Handler>
    SpoolAppend(std::weak_ptr<SpoolDesk> desk, std::string bytes, asio::any_io_executor executor, Handler&& handler)
        : SpoolRequest(std::move(desk), std::move(executor), std::forward<Handler>(handler)),
          payload(std::move(bytes)) {}

    const std::string payload; // also after it was given up: the disk may be at it
};

class SpoolRead final : public SpoolRequest<SpoolBatch> {
  public:
    template <class Handler>
    SpoolRead(std::weak_ptr<SpoolDesk> desk, SpoolCursor begin, Bytes at_most, asio::any_io_executor executor,
              Handler&& handler)
        : SpoolRequest(std::move(desk), std::move(executor), std::forward<Handler>(handler)),
          from(begin),
          most(at_most) {}

    const SpoolCursor from;
    const Bytes most;
};

/// Where requests to a spool lie until its disk has time for them: one at a time, and all that wait to be appended as
/// one batch, which is synced once.
///
/// Threads: safe. The log is used where `disk` runs things, one at a time.
class SpoolDesk : public std::enable_shared_from_this<SpoolDesk> {
  public:
    SpoolDesk(SpoolLog log, asio::any_io_executor disk);
    SpoolDesk(const SpoolDesk&) = delete;
    SpoolDesk& operator=(const SpoolDesk&) = delete;
    ~SpoolDesk();

    /// Only before it is used.
    void set_listener(std::function<void()> on_appended) { on_appended_ = std::move(on_appended); }

    void append(std::shared_ptr<SpoolAppend> request) noexcept;
    void read(std::shared_ptr<SpoolRead> request) noexcept;
    void done(std::uint64_t sequence);
    /// A request was given up: its place is free.
    void look() noexcept;

    SpoolStats get_stats() const;
    /// Payloads that are there or on their way, and not done.
    std::uint64_t waiting() const;
    /// Why those who wait for room do; nothing if nobody does.
    std::optional<Error> why_full() const;

  private:
    using Appends = std::deque<std::shared_ptr<SpoolAppend>>;
    struct Work {
        std::vector<std::uint64_t> done;
        std::vector<std::shared_ptr<SpoolRead>> reads;
    };

    void locked_wake();
    void work() noexcept;
    bool take(Work& work);
    void carry_out(Work& work);
    void append_batch();
    Result<std::uint64_t> append(const Appends& batch);
    std::size_t fitting();
    void publish();

    const asio::any_io_executor disk_;
    std::function<void()> on_appended_;
    // Of whoever works.
    const std::unique_ptr<SpoolLog> log_;
    Appends line_; // those that have arrived, in order
    bool is_full_ = false;

    mutable std::mutex mutex_; // guards what follows
    bool is_working_ = false;  // on its way to the disk, or there
    bool has_news_ = false;    // since it was last taken
    Appends arrivals_;
    std::vector<std::shared_ptr<SpoolRead>> reads_;
    std::vector<std::uint64_t> done_;
    SpoolStats stats_;
    std::uint64_t appending_ = 0;   // in `arrivals_`, in `line_` or being written, and not in `stats_`
    std::uint64_t being_done_ = 0;  // in `done_` or being seen to, and still in `stats_`
    std::optional<Error> why_full_; // the first of the line waits for room
};

template <class T>
void SpoolRequest<T>::give_up(Errc why) {
    if (!end()) return;
    const auto desk = desk_.lock();
    this->finish(given_up(why, [&] { return desk ? desk->why_full() : std::nullopt; }));
    if (desk) desk->look();
}

template <class T>
void SpoolRequest<T>::leave_queue() noexcept {
    if (!end()) return;
    if (const auto desk = desk_.lock()) desk->look();
}

} // namespace detail
} // namespace velostream
