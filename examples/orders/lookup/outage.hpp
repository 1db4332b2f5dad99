// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/connection_factory.hpp"

namespace orders {

namespace asio = boost::asio;

/// Takes a database away for a while: what `--db-outage` asks for. Threads: one.
class DatabaseOutage {
  public:
    void begin() {
        is_down_ = true;
        ++begun_;
    }
    void end() { is_down_ = false; }

    bool is_down() const { return is_down_; }
    std::uint64_t begun() const { return begun_; }

  private:
    bool is_down_ = false;
    std::uint64_t begun_ = 0;
};

/// Connections to a database that may be taken away: then none can be opened, and those that are there are lost, as if
/// the server had gone. A query that is under way is still answered.
template <velostream::ConnectionFactory Inner>
class PerishableConnections {
  public:
    class Connection {
      public:
        Connection(Inner::Connection inner, const DatabaseOutage& outage)
            : inner_(std::move(inner)), outage_(&outage), opened_in_(outage.begun()) {}

        /// As that of the database's connection.
        template <class... Values>
        auto query(const velostream::CallContext& call, std::string sql, const Values&... values) {
            using Asking = decltype(inner_.query(call, std::move(sql), values...));
            return is_lost() ? failed<Asking>(lost()) : inner_.query(call, std::move(sql), values...);
        }
        /// As that of the database's connection.
        auto execute(const velostream::CallContext& call, std::string sql) {
            using Asking = decltype(inner_.execute(call, std::move(sql)));
            return is_lost() ? failed<Asking>(lost()) : inner_.execute(call, std::move(sql));
        }
        bool is_lost() const { return outage_->is_down() || outage_->begun() != opened_in_; }

      private:
        friend class PerishableConnections;

        Inner::Connection inner_;
        const DatabaseOutage* outage_;
        std::uint64_t opened_in_; // this many outages
    };

    /// `outage` must outlive this object, its copies and their connections.
    PerishableConnections(Inner inner, const DatabaseOutage& outage) : inner_(std::move(inner)), outage_(&outage) {}

    asio::awaitable<velostream::Result<Connection>> open(velostream::CallContext& call) {
        if (outage_->is_down())
            co_return velostream::Error{asio::error::connection_refused, "the database is down (--db-outage)"};
        auto opening = inner_.open(call);
        auto opened = co_await std::move(opening);
        if (!opened) co_return opened.error();
        co_return Connection{std::move(*opened), *outage_};
    }
    asio::awaitable<velostream::Result<void>> check(Connection& connection, velostream::CallContext& call) {
        if (connection.is_lost()) return failed<asio::awaitable<velostream::Result<void>>>(lost());
        return inner_.check(connection.inner_, call);
    }
    asio::awaitable<velostream::Result<void>> reset(Connection& connection, velostream::CallContext& call) {
        if (connection.is_lost()) return failed<asio::awaitable<velostream::Result<void>>>(lost());
        return inner_.reset(connection.inner_, call);
    }
    bool needs_reset(const Connection& connection) const noexcept {
        if constexpr (requires { inner_.needs_reset(connection.inner_); })
            return connection.is_lost() || inner_.needs_reset(connection.inner_);
        else
            return true;
    }
    asio::awaitable<void> close(Connection& connection, velostream::CallContext& call) {
        return inner_.close(connection.inner_, call);
    }

  private:
    static velostream::Error lost() { return {asio::error::connection_reset, "the database has gone (--db-outage)"}; }
    template <class Awaitable>
    static Awaitable failed(velostream::Error error) {
        co_return error;
    }

    Inner inner_;
    const DatabaseOutage* outage_;
};

} // namespace orders
