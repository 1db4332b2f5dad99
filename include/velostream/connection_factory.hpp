// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"

namespace velostream {

/// What a pool needs to know about a kind of connection. Every operation ends by `call.deadline()`; an exception counts
/// as a failure. A pool calls them from several threads at once if its executor has several.
///
/// * `open(call)` makes a connection.
/// * `check(connection, call)` says whether one that lay idle still works.
/// * `reset(connection, call)` removes what a borrower left in it (a transaction, settings), before the next one gets
/// it.
/// * `close(connection, call)` says goodbye to one that is given up; the connection is destroyed afterwards.
template <class Factory>
concept ConnectionFactory = std::move_constructible<Factory> && std::move_constructible<typename Factory::Connection> &&
                            requires(Factory& factory, typename Factory::Connection& connection, CallContext& call) {
                                {
                                    factory.open(call)
                                } -> std::same_as<asio::awaitable<Result<typename Factory::Connection>>>;
                                { factory.check(connection, call) } -> std::same_as<asio::awaitable<Result<void>>>;
                                { factory.reset(connection, call) } -> std::same_as<asio::awaitable<Result<void>>>;
                                { factory.close(connection, call) } -> std::same_as<asio::awaitable<void>>;
                            };

/// The factory of a `ResourceManager` that has no connections.
struct NoConnections {
    struct Connection {};
};

} // namespace velostream
