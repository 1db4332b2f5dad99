// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <string>

#include "velostream/connection_factory.hpp"
#include "velostream/postgres/connection.hpp"
#include "velostream/postgres/connection_config.hpp"

namespace velostream::postgres {

/// How a pool gets at connections to a PostgreSQL server: a `ConnectionFactory`.
///
/// ```cpp
/// ResourceManager resources{io.get_executor(), config, postgres::Connections{"host=db dbname=shop"}};
/// ```
///
/// Threads: safe.
class Connections {
  public:
    using Connection = postgres::Connection;

    /// Throws `std::invalid_argument` that lists every problem of `config`.
    explicit Connections(const ConnectionConfig& config);
    /// The same with the defaults.
    explicit Connections(std::string dsn);

    /// As `Connection::open`, by the call's deadline.
    asio::awaitable<Result<Connection>> open(CallContext& call);
    /// As `Connection::check`.
    asio::awaitable<Result<void>> check(Connection& connection, CallContext& call);
    /// As `Connection::reset`.
    asio::awaitable<Result<void>> reset(Connection& connection, CallContext& call);
    /// False if `reset` would ask the server nothing, and find the connection well as far as anybody has noticed.
    bool needs_reset(const Connection& connection) const noexcept;
    /// As `Connection::close`, which waits for nobody.
    asio::awaitable<void> close(Connection& connection, CallContext& call);

  private:
    std::shared_ptr<const ConnectOptions> options_;
    std::size_t cache_size_;
    SessionReset reset_;
};

static_assert(ConnectionFactory<Connections>);

} // namespace velostream::postgres
