// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <memory>
#include <string>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/sqlite/connection.hpp"
#include "velostream/sqlite/connection_config.hpp"

namespace velostream::sqlite {

/// Makes connections to one database, for a pool or by hand, and has the threads that do their work.
///
/// `ResourceManager resources{executor, config, sqlite::Connections{"orders.db"}}`: copies are handles of the
/// same threads, and of the same database in memory.
///
/// Threads:  safe.
/// Lifetime: may end before its connections; the threads, and a database in memory, go with the last of all these. The
///           end of the program waits up to 10 s for connections that are being closed.
class Connections {
  public:
    using Connection = sqlite::Connection;

    /// Throws `std::invalid_argument` that lists every problem of `config`.
    explicit Connections(const ConnectionConfig& config);
    /// The same with the defaults.
    template <std::convertible_to<std::string> Path>
    explicit Connections(Path&& path) : Connections(ConnectionConfig{.path = std::forward<Path>(path)}) {}

    /// Opens the file, sets what `ConnectionConfig` says and reads from it.
    ///
    /// Errors, cancellation: as of every call of a `Connection`. SqliteErrc::cannot_open names the operating system's
    ///                       reason.
    asio::awaitable<Result<Connection>> open(CallContext& call);

    /// Whether the database can be read, and its file is the one that was opened.
    asio::awaitable<Result<void>> check(Connection& connection, CallContext& call);

    /// Rolls back what is open, at once where nothing is.
    ///
    /// Errors: SqliteErrc::settings_changed where a borrower has left something that lasts for the connection, such as
    ///         a `PRAGMA`, an attached database or a temporary table: the connection is to be closed.
    asio::awaitable<Result<void>> reset(Connection& connection, CallContext& call);

    /// Closes it, and waits for that until `call.deadline()`. In WAL mode the last connection of all processes copies
    /// the log into the file and removes it.
    asio::awaitable<void> close(Connection& connection, CallContext& call);

  private:
    struct Shared;

    std::shared_ptr<const Shared> shared_;
};

static_assert(ConnectionFactory<Connections>);

} // namespace velostream::sqlite
