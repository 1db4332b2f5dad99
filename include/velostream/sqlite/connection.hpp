// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/sqlite/error.hpp"
#include "velostream/sqlite/result.hpp"
#include "velostream/sqlite/statement.hpp"

namespace velostream::sqlite {

class ConnectionCore;

/// A connection to a database, made by `Connections::open`. Move-only.
///
/// Each call runs on a thread of the `Connections`, and its coroutine goes on on its own executor. A connection does
/// one thing at a time: calls that come meanwhile wait for their turns.
///
/// What another connection has locked is waited for, up to `ConnectionConfig::busy_timeout` and the call's deadline,
/// and no thread is held meanwhile. Inside a transaction that has read before it writes, waiting may be of no use: then
/// the call fails at once, with SqliteErrc::busy or busy_snapshot, and the transaction is to be rolled back and begun
/// again. `BEGIN IMMEDIATE` instead of `BEGIN` avoids that.
///
/// Of every call:
/// Errors:       any code of `sqlite_category()`; nothing was changed by the statement that failed, and the detail says
///               if its transaction was rolled back, too.
///               Errc::deadline_exceeded, with SqliteErrc::busy inside if it waited for a lock; Errc::bulkhead_full:
///               `max_pending_calls`; SqliteErrc::connection_closed.
/// Cancellation: all kinds, and the deadline: what runs is interrupted, and the call ends with Errc::cancelled or
///               Errc::deadline_exceeded, having changed nothing, or with its result if that was faster. What cannot be
///               interrupted, such as a disk that hangs, is waited for for 20 ms: then the call ends, with
///               SqliteErrc::outcome_unknown inside if it was writing; the next call waits for its end. In a
///               transaction, an interrupted write rolls back the whole transaction.
/// Threads:      one at a time.
/// Lifetime:     may be destroyed while calls are in progress, which end with SqliteErrc::connection_closed, and may
///               outlive its `Connections` and every execution context. It is closed on one of the threads; a
///               transaction that is open is rolled back.
class Connection {
  public:
    /// No connection: only to be assigned to.
    Connection() noexcept = default;
    Connection(Connection&&) noexcept = default;
    Connection& operator=(Connection&& other) noexcept;
    ~Connection();

    /// Runs one statement, and gives all of its rows.
    ///
    /// Errors: also Errc::memory_limit_exceeded for a result of more than `max_result_bytes`.
    asio::awaitable<Result<QueryResult>> query(Statement statement, const CallContext& call = {});

    /// The same for SQL and its values: `connection.query("SELECT segment FROM customers WHERE id = ?", id)`.
    template <Parameter... Values>
    asio::awaitable<Result<QueryResult>> query(std::string sql, const Values&... values) {
        return query(Statement{std::move(sql), values...});
    }
    /// The same by the call's deadline.
    template <Parameter... Values>
    asio::awaitable<Result<QueryResult>> query(const CallContext& call, std::string sql, const Values&... values) {
        return query(Statement{std::move(sql), values...}, call);
    }

    /// Runs one statement, drops what rows it gives, and says how many it has inserted, updated or deleted itself.
    asio::awaitable<Result<std::uint64_t>> execute(Statement statement, const CallContext& call = {});
    template <Parameter... Values>
    asio::awaitable<Result<std::uint64_t>> execute(std::string sql, const Values&... values) {
        return execute(Statement{std::move(sql), values...});
    }
    template <Parameter... Values>
    asio::awaitable<Result<std::uint64_t>> execute(const CallContext& call, std::string sql, const Values&... values) {
        return execute(Statement{std::move(sql), values...}, call);
    }

    /// Runs statements without parameters one after the other, up to the first that fails. What those before it have
    /// done stays, unless the script has begun a transaction.
    asio::awaitable<Result<void>> execute_script(std::string sql, const CallContext& call = {});

    /// Whether a transaction was open when the last call ended.
    bool in_transaction() const noexcept;

  private:
    friend class Connections;

    explicit Connection(std::shared_ptr<ConnectionCore> core) noexcept : core_(std::move(core)) {}

    std::shared_ptr<ConnectionCore> core_; // null where there is none
};

} // namespace velostream::sqlite
