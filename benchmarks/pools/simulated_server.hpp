// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/errc.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include "velostream/async/time_source.hpp"
#include "velostream/base/result.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::bench {

/// Runs `io` until `is_done()`.
template <class Predicate>
void run_while_not(asio::io_context& io, SteadyTime&, Predicate is_done) {
    io.restart();
    while (!is_done() && io.run_one() > 0) continue;
}
/// The same while the clock goes from one sleeper to the next.
template <class Predicate>
void run_while_not(asio::io_context& io, testing::ManualTime& time, Predicate is_done) {
    while (!is_done()) time.run_for(io, std::chrono::milliseconds{1});
}

/// Runs `io` until so many connections of `pool` are idle. Throws `std::runtime_error` if a connect fails meanwhile.
template <class Pool>
void run_until_idle(asio::io_context& io, const Pool& pool, std::size_t connections) {
    for (auto stats = pool.get_stats(); stats.idle < connections; stats = pool.get_stats()) {
        if (stats.last_connect_error) throw std::runtime_error{stats.last_connect_error->message()};
        io.run_one();
    }
}

/// For `co_spawn`: what a coroutine throws ends the benchmark.
inline void rethrow(const std::exception_ptr& failed) {
    if (failed) std::rethrow_exception(failed);
}

template <TimeSource Time>
asio::awaitable<void> pause_until(Time time, TimePoint at) {
    const auto executor = co_await asio::this_coro::executor;
    auto sleeping = async_sleep_until(std::move(time), executor, at, asio::deferred);
    co_await std::move(sleeping);
}

/// A server that is not there: whatever it is asked takes as long as it is told to, by a timer. What has no answer
/// while it hangs never has one.
///
/// Threads: one at a time.
template <TimeSource Time>
class SimulatedServer {
  public:
    enum class State { up, refuses, hangs };

    struct Times {
        Duration connect{};
        Duration query{};
        Duration patience = std::chrono::seconds{1}; // after which who has no answer gives up
    };

    SimulatedServer(Time time, const Times& times) : time_(std::move(time)), times_(times) {}

    void change_times(const Times& times) { times_ = times; }
    /// What is connected then is lost.
    void change(State state) {
        state_ = state;
        ++life_;
    }
    const std::vector<TimePoint>& connects() const { return connects_; } // when they began
    void forget_connects() { connects_.clear(); }

    struct Connection {
        std::size_t life = 0;
    };

    asio::awaitable<Result<Connection>> open() {
        connects_.push_back(time_.now());
        const auto life = life_;
        if (state_ == State::refuses) co_return refused();
        if (state_ == State::up) {
            auto pausing = pause_until(time_, time_.now() + times_.connect);
            co_await std::move(pausing);
            if (life == life_) co_return Connection{life};
            if (state_ != State::hangs) co_return refused();
        }
        auto hanging = pause_until(time_, time_.now() + std::chrono::hours{1});
        co_await std::move(hanging);
        co_return refused();
    }
    asio::awaitable<Result<void>> query(Connection& connection) {
        const auto began = time_.now();
        if (connection.life == life_) {
            auto pausing = pause_until(time_, began + times_.query);
            co_await std::move(pausing);
        }
        if (connection.life == life_) co_return Result<void>{};
        if (state_ != State::hangs) co_return refused();
        auto hanging = pause_until(time_, began + times_.patience);
        co_await std::move(hanging);
        co_return Error{make_error_code(boost::system::errc::timed_out)};
    }

    /// Goes by a pointer: the server must outlive it.
    class Factory {
      public:
        using Connection = SimulatedServer::Connection;

        explicit Factory(SimulatedServer& server) : server_(&server) {}
        asio::awaitable<Result<Connection>> open(CallContext&) { return server_->open(); }
        asio::awaitable<Result<void>> check(Connection& connection, CallContext&) { return server_->query(connection); }
        asio::awaitable<Result<void>> reset(Connection&, CallContext&) { co_return Result<void>{}; }
        asio::awaitable<void> close(Connection&, CallContext&) { co_return; }
        bool needs_reset(const Connection&) const noexcept { return false; }

      private:
        SimulatedServer* server_;
    };

  private:
    static Error refused() { return Error{make_error_code(boost::system::errc::connection_refused)}; }

    Time time_;
    Times times_;
    State state_ = State::up;
    std::size_t life_ = 0;
    std::vector<TimePoint> connects_;
};

} // namespace velostream::bench
