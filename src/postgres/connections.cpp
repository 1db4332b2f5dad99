// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/connections.hpp"

#include <utility>

#include "connect_options.hpp"
#include "session.hpp"

namespace velostream::postgres {

namespace {

ConnectionConfig config_of(std::string dsn) {
    ConnectionConfig config;
    config.dsn = std::move(dsn);
    return config;
}

} // namespace

Connections::Connections(const ConnectionConfig& config)
    : options_(std::make_shared<const ConnectOptions>(config)),
      cache_size_(config.statement_cache_size),
      reset_(config.session_reset) {}

Connections::Connections(std::string dsn) : Connections(config_of(std::move(dsn))) {}

asio::awaitable<Result<Connection>> Connections::open(CallContext& call) {
    return Connection::open(options_, cache_size_, reset_, call.deadline());
}

asio::awaitable<Result<void>> Connections::check(Connection& connection, CallContext& call) {
    return connection.check(call);
}

asio::awaitable<Result<void>> Connections::reset(Connection& connection, CallContext& call) {
    return connection.reset(call);
}

bool Connections::needs_reset(const Connection& connection) const noexcept {
    const auto& session = connection.session_;
    if (!session || session->is_broken() || session->is_interrupted()) return true;
    return session->transaction_status() != PQTRANS_IDLE || reset_ == SessionReset::always ||
           (reset_ == SessionReset::when_touched && session->is_touched());
}

asio::awaitable<void> Connections::close(Connection& connection, CallContext&) {
    connection.close();
    co_return;
}

} // namespace velostream::postgres
