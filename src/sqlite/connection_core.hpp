// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "async/background.hpp"
#include "call.hpp"
#include "handle.hpp"
#include "thread_pool.hpp"
#include "velostream/base/result.hpp"

namespace velostream::sqlite {

/// A connection's calls, one after the other in the order in which they came, each on whichever thread of the pool is
/// free. One that waits for another connection's lock is parked meanwhile: it holds no thread.
///
/// Threads: safe.
class ConnectionCore final : public ThreadPool::Turn, public std::enable_shared_from_this<ConnectionCore> {
  public:
    ConnectionCore(std::shared_ptr<ThreadPool> pool, const ConnectionConfig& config, std::string file)
        : pool_(std::move(pool)), busy_timeout_(config.busy_timeout), handle_(config, std::move(file)) {}

    /// Completes with: what `work` gives, or Errc::deadline_exceeded, Errc::cancelled, Errc::bulkhead_full,
    ///                 SqliteErrc::connection_closed.
    /// Cancellation:   all kinds. Ends work that runs, and waits for its end, but not for long.
    asio::awaitable<Result<QueryResult>> call(Work work, TimePoint deadline);

    /// Stops everything and closes the connection, soon.
    void close() noexcept;

    bool is_in_transaction() const noexcept { return is_in_transaction_; }
    bool has_changed_settings() const noexcept { return has_changed_settings_; }
    /// Nothing runs or waits.
    bool is_idle() const;

  private:
    friend class Call;

    /// What has happened to the call of a turn.
    enum class Next : std::uint8_t { answer, forget, park };

    void submit(std::shared_ptr<Call> call) noexcept;
    void give_up(Call& call, Errc why);
    void lose_patience(Call& call, Errc why);
    void leave(Call& call) noexcept;

    void take_turn() noexcept override;
    std::shared_ptr<Call> begin_next();
    Next end_turn(Call& call, Result<QueryResult>& result);
    void go_on() noexcept;
    void take_last_turn() noexcept;

    void locked_wake() noexcept;
    void locked_stop(Call& call, Errc why);

    const std::shared_ptr<ThreadPool> pool_;
    const Duration busy_timeout_;
    Handle handle_; // of the one who has the turn
    std::atomic<bool> is_in_transaction_{false};
    std::atomic<bool> has_changed_settings_{false};

    mutable std::mutex mutex_; // guards what follows
    std::deque<std::shared_ptr<Call>> line_;
    Call* running_ = nullptr; // the first of the line
    bool is_in_pool_ = false; // it has the turn, or will have it
    bool is_closing_ = false;
    std::optional<HoldsEndOfProgram> holds_end_; // until it is closed
};

} // namespace velostream::sqlite
