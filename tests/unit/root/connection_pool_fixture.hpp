// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/connection_pool.hpp"
#include "velostream/testing/manual_time.hpp"
#include "velostream/testing/scripted_connections.hpp"

namespace velostream {

using namespace std::chrono_literals;
using testing::ManualTime;
using testing::ScriptedConnections;
using Pool = ConnectionPool<ScriptedConnections, ManualTime>;
using Lease = Pool::Lease;

struct Borrower {
    std::optional<Result<Lease>> answer;
    std::exception_ptr thrown;
    asio::cancellation_signal cancel;

    bool has_connection() const { return answer && answer->has_value(); }
    std::size_t number() { return (**answer)->number(); }
    Error error() const { return answer && answer->has_error() ? answer->error() : Error{}; }
    /// After it was used.
    void give_back() {
        static_cast<void>(***answer);
        (*answer)->give_back();
    }
};

/// A pool of connections that lead nowhere, in a context that runs when the test says so.
class ConnectionPoolTest : public ::testing::Test {
  protected:
    /// Opens nothing before it is wanted, and looks after nothing by itself.
    static ConnectionPoolConfig passive(std::size_t max_size) {
        return {.max_size = max_size,
                .min_idle = 0,
                .connection_timeout = 30s,
                .idle_timeout = std::nullopt,
                .max_lifetime = std::nullopt};
    }
    void make_pool(std::size_t max_size, MemoryAccount places = {}) {
        make_pool(passive(max_size), {.places = std::move(places)});
    }
    void make_pool(const ConnectionPoolConfig& config, ConnectionPoolOptions options = {}) {
        pool.emplace(io.get_executor(), config, factory, std::move(options), time);
    }
    Borrower& borrow() { return borrow(*pool); }
    template <class From>
    Borrower& borrow(From& from) {
        auto& borrower = *borrowers.emplace_back(std::make_unique<Borrower>());
        auto completed = [&borrower](std::exception_ptr thrown, Result<Lease> answer) {
            borrower.thrown = thrown;
            borrower.answer.emplace(std::move(answer));
        };
        asio::co_spawn(io, from.get_connection(), asio::bind_cancellation_slot(borrower.cancel.slot(), completed));
        run();
        return borrower;
    }
    void run() {
        io.restart();
        io.poll();
    }
    void pass(Duration duration) {
        time.advance(duration);
        run();
    }

    asio::io_context io;
    ManualTime time;
    ScriptedConnections factory{time};
    std::optional<Pool> pool;
    std::vector<std::unique_ptr<Borrower>> borrowers;
};

} // namespace velostream
