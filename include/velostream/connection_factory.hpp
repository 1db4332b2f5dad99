// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"

namespace velostream {

/// What a pool needs to know about a kind of connection. Every operation has a deadline, `call.deadline()`, and is
/// cancelled when that passes; an exception counts as a failure. A pool calls them from several threads at once if its
/// executor has several, each on a strand of its own.
///
/// * `open(call)` makes a connection.
/// * `check(connection, call)` says whether one that lay idle still works.
/// * `reset(connection, call)` removes what a borrower left in it (a transaction, settings), before the next one gets
///   it.
/// * `close(connection, call)` says goodbye to one that is given up; the connection is destroyed afterwards.
///
/// A factory may have `bool needs_reset(const Connection&) const noexcept`, too, which is asked by whoever gives a
/// connection back: one that needs none is lent again without a coroutine.
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
