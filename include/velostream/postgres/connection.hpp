// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/postgres/connection_config.hpp"
#include "velostream/postgres/result.hpp"
#include "velostream/postgres/statement.hpp"

namespace velostream::postgres {

class Session;
struct ConnectOptions;

/// Where a connection stands among transactions, as the server has last said.
enum class TransactionStatus : std::uint8_t {
    idle,    ///< in none
    open,    ///< in one
    failed,  ///< in one that a statement has made useless: only `rollback` is left
    unknown, ///< a statement is under way or was interrupted, or the connection is gone
};

/// What a pipeline has answered: to each statement its own result.
using PipelineResults = std::vector<Result<QueryResult>>;

/// One connection to a PostgreSQL server, for coroutines. Nothing that it does blocks a thread of the execution
/// context.
///
/// Each statement is prepared when it is first run, in the same round trip, and kept by its text (see
/// `ConnectionConfig::statement_cache_size`). What was prepared and has become useless, since a table changed or
/// somebody said `DISCARD ALL`, is prepared anew; within an open transaction, which is lost by then, it fails with
/// `PostgresErrc::statement_outdated`, and the next try of the transaction finds it well.
///
/// A call that is cancelled, or whose deadline passes, returns at once with `Errc::cancelled` or
/// `Errc::deadline_exceeded`. If its statements were sent, `PostgresErrc::outcome_unknown` is inside: they may have
/// been run or not. The server is asked to end them (by a request of its own connection, in the clear also where this
/// one has TLS, as libpq does it before version 17). The next call on the connection waits until the server has, at
/// most 10 s; a connection that does not become clean by then is closed. So is one that answers nothing any more.
///
/// A lost connection is one where `is_broken()`: it never comes back, and each further call ends with
/// `PostgresErrc::connection_lost`.
///
/// Threads:  one call at a time, from a coroutine on any executor of the context that it was opened in; another one
///           meanwhile fails with `PostgresErrc::session_in_use`.
/// Lifetime: must end before that context. May end, or be moved, while a call is under way; that one goes on.
class Connection {
  public:
    /// Connects. The name of the host is looked up on a thread of its own.
    ///
    /// Errors:       PostgresErrc::server_unreachable, authentication_failed, or a code of the server, such as
    ///               SqlState::invalid_password; Errc::deadline_exceeded; Errc::cancelled. The detail says what became
    ///               of each address. Throws `std::invalid_argument` that lists every problem of `config`, before
    ///               there is anything to await.
    /// Cancellation: all kinds; leaves nothing behind but the look-up of a name, which goes on by itself.
    static asio::awaitable<Result<Connection>> open(ConnectionConfig config, const CallContext& call = {});

    Connection(Connection&&) noexcept;
    Connection& operator=(Connection&&) noexcept;
    ~Connection();

    /// Runs one statement, and gives all of its rows.
    ///
    /// Errors:       a code of the server (`sql_state_category()`); PostgresErrc::invalid_parameter;
    ///               PostgresErrc::connection_lost: it was not run; PostgresErrc::outcome_unknown: the connection went
    ///               meanwhile. PostgresErrc::not_supported for `COPY`, after which the connection is closed.
    /// Cancellation: all kinds, by Errc::cancelled; see above.
    asio::awaitable<Result<QueryResult>> query(Statement statement, const CallContext& call = {});

    /// The same for SQL and its values.
    template <class... Values>
    asio::awaitable<Result<QueryResult>> query(std::string sql, const Values&... values) {
        return query(Statement{std::move(sql), values...});
    }
    /// The same by the call's deadline.
    template <class... Values>
    asio::awaitable<Result<QueryResult>> query(const CallContext& call, std::string sql, const Values&... values) {
        return query(Statement{std::move(sql), values...}, call);
    }

    /// Runs one statement, and says how many rows it has changed.
    ///
    /// Errors, cancellation: as `query`.
    asio::awaitable<Result<std::uint64_t>> execute(Statement statement, const CallContext& call = {});
    template <class... Values>
    asio::awaitable<Result<std::uint64_t>> execute(std::string sql, const Values&... values) {
        return execute(Statement{std::move(sql), values...});
    }
    template <class... Values>
    asio::awaitable<Result<std::uint64_t>> execute(const CallContext& call, std::string sql, const Values&... values) {
        return execute(Statement{std::move(sql), values...}, call);
    }

    /// Runs several statements in one round trip, and answers each.
    ///
    /// They are one transaction, unless they contain statements that begin and end some: when one fails, those behind
    /// it are not run (PostgresErrc::pipeline_aborted), and what those before it did is undone, though they have
    /// results. Where only the end of the transaction fails, every one has that error.
    ///
    /// Errors, cancellation: as `query`, of the whole.
    asio::awaitable<Result<PipelineResults>> pipeline(std::vector<Statement> statements, const CallContext& call = {});

    /// Asks the server for a sign of life, in one round trip that runs nothing.
    ///
    /// Errors, cancellation: as `query`.
    asio::awaitable<Result<void>> check(const CallContext& call = {});

    /// Makes it as it was when it was opened, but for the prepared statements: ends an open transaction without effect,
    /// and what else was left if `ConnectionConfig::session_reset` says so. Without either it asks the server nothing.
    ///
    /// Errors, cancellation: as `query`. It is of no further use then.
    asio::awaitable<Result<void>> reset(const CallContext& call = {});

    /// Says goodbye and closes, at once. A call that is under way ends with PostgresErrc::connection_lost or
    /// outcome_unknown.
    void close() noexcept;

    /// True once it is closed or lost, as far as anybody has noticed.
    bool is_broken() const noexcept;

    TransactionStatus transaction_status() const noexcept;
    /// What the server reports of itself and the session, such as `server_version`, `TimeZone` or `in_hot_standby`;
    /// empty where it reports nothing of this name.
    std::string server_parameter(const std::string& name) const;
    /// The number of the server's process that serves this connection; 0 once it is closed.
    int server_process() const noexcept;
    /// Statements that are prepared.
    std::size_t prepared_statements() const noexcept;

  private:
    friend class Connections;

    Connection(std::shared_ptr<Session> session, SessionReset reset) noexcept;
    static asio::awaitable<Result<Connection>> open(std::shared_ptr<const ConnectOptions> options,
                                                    std::size_t cache_size, SessionReset reset, TimePoint deadline);

    std::shared_ptr<Session> session_;
    SessionReset reset_;
};

} // namespace velostream::postgres
