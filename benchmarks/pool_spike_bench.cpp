// SPDX-License-Identifier: Apache-2.0
//
// Fifty requests at once for a pool of at most 50 connections, of which five are idle: a connect takes 150 ms and a
// query 2 ms, so the five alone are done in 20 ms. The row is the time until the last request is done, and says how
// many connects were begun for nothing.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "pools/simulated_server.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr int requests = 50;
constexpr std::size_t idle = 5;
constexpr auto query_time = 2ms;

const ConnectionPoolConfig config{.max_size = 50, .min_idle = idle};

/// A pool with nothing but its idle connections, and the server it goes to.
template <class Time>
class Place {
  public:
    explicit Place(asio::io_context& io) : io_(io), pool_(io.get_executor(), config, Factory{server_}, {}, time_) {
        server_.change_times({.connect = 0ms, .query = query_time});
        settle();
        server_.change_times({.connect = 150ms, .query = query_time});
    }

    /// Closes what is more than the idle ones.
    void cool_down() {
        settle();
        pool_.resize(idle);
        settle();
        pool_.resize(config.max_size);
    }

    struct Spike {
        Duration last{};
        std::size_t connects = 0;
    };
    Spike spike() {
        server_.forget_connects();
        const auto began = time_.now();
        int served = 0;
        auto request = [&]() -> asio::awaitable<void> {
            auto borrowing = pool_.get_connection();
            auto lease = co_await std::move(borrowing);
            if (!lease) throw std::runtime_error{lease.error().message()};
            auto asking = server_.query(**lease);
            const auto answer = co_await std::move(asking);
            if (!answer) throw std::runtime_error{answer.error().message()};
            ++served;
        };
        for (int count = 0; count < requests; ++count) asio::co_spawn(io_, request(), rethrow);
        run_while_not(io_, time_, [&] { return served == requests; });
        return {.last = time_.now() - began, .connects = server_.connects().size()};
    }

  private:
    using Factory = typename SimulatedServer<Time>::Factory;

    void settle() {
        run_while_not(io_, time_, [this] {
            const auto stats = pool_.get_stats();
            return stats.connecting == 0 && stats.idle == stats.total && stats.total >= idle;
        });
    }

    asio::io_context& io_;
    Time time_;
    SimulatedServer<Time> server_{time_, {}};
    ConnectionPool<Factory, Time> pool_;
};

/// `spikes()` gives one spike at a time.
template <class Spikes>
void measure(benchmark::State& state, Spikes spikes) {
    Duration sum{};
    std::size_t most_connects = 0;
    for (auto _ : state) {
        const auto spike = spikes();
        sum += spike.last;
        most_connects = std::max(most_connects, spike.connects);
    }
    state.SetLabel(std::to_string(most_connects) + " connects begun at most, of a limit of " +
                   std::to_string(config.effective_connect_limit()));
    report_instead(state, static_cast<double>(sum.count()) / static_cast<double>(state.iterations()), 0);
}

template <class Time>
void spike_cold(benchmark::State& state) {
    measure(state, [] {
        asio::io_context io{1};
        return Place<Time>{io}.spike();
    });
}

void spike_warm(benchmark::State& state) {
    asio::io_context io{1};
    Place<SteadyTime> place{io};
    place.spike();
    measure(state, [&] {
        place.cool_down();
        return place.spike();
    });
}

/// Five in a row, ten times: what the timers add to 20 ms.
void five_connections(benchmark::State& state) {
    SteadyTime time;
    Duration sum{};
    for (auto _ : state) {
        asio::io_context io{1};
        const auto began = time.now();
        auto connection = [&]() -> asio::awaitable<void> {
            for (std::size_t count = 0; count < requests / idle; ++count) {
                auto pausing = pause_until(time, time.now() + query_time);
                co_await std::move(pausing);
            }
        };
        for (std::size_t count = 0; count < idle; ++count) asio::co_spawn(io, connection(), rethrow);
        io.run();
        sum += time.now() - began;
    }
    report_instead(state, static_cast<double>(sum.count()) / static_cast<double>(state.iterations()), 0);
}

} // namespace

void declare(Suite& suite) {
    const Measure few{.threads = {1}, .iterations = suite.is_smoke() ? 1 : 5};
    suite.add("floor/five_connections", five_connections, few);
    suite.add("pool/spike_cold", spike_cold<SteadyTime>, few);
    suite.add("pool/spike_warm", spike_warm, few);
    suite.add("pool/spike_by_a_simulated_clock", spike_cold<testing::ManualTime>, few);
}

} // namespace velostream::bench
