// SPDX-License-Identifier: Apache-2.0
//
// How late a borrower who gets no connection is told so, in each way in which a server can fail. Each turn a hundred
// borrowers come with 100 ms each; the row is the lateness of the one that heard of it last.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fault_proxy.hpp"
#include "pools/database.hpp"
#include "pools/simulated_server.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/postgres/connections.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr Duration patience = 100ms;
constexpr int borrowers = 100;
constexpr std::size_t connections = 8;

using PostgresPool = ConnectionPool<postgres::Connections>;

ConnectionPoolConfig config(std::size_t min_idle = 0) {
    return {.max_size = connections,
            .min_idle = min_idle,
            .connection_timeout = patience,
            .connect_timeout = 2s,
            .max_waiters = 0};
}

struct Ended {
    Duration late{}; // of the last; negative if all were in time
    int served = 0;
    std::optional<Error> error;
};

template <class Pool>
Ended borrow_in_vain(asio::io_context& io, Pool& pool) {
    Ended last{.late = -patience, .served = 0, .error = std::nullopt};
    int ended = 0;
    const SteadyTime time;
    for (int i = 0; i < borrowers; ++i) {
        const auto asked_at = time.now();
        pool.async_acquire(asio::bind_executor(io, [&, asked_at](Result<typename Pool::Lease> lease) {
            last.late = std::max(last.late, time.now() - asked_at - patience);
            if (lease)
                ++last.served;
            else
                last.error = lease.error();
            ++ended;
        }));
    }
    io.restart();
    while (ended < borrowers && io.run_one() > 0) continue;
    return last;
}

/// `cause`: what the borrowers must end with, so that the row measures what it is called after; nothing where that
/// depends on something else.
template <class Pool>
void measure_lateness(benchmark::State& state, asio::io_context& io, Pool& pool, std::optional<Errc> cause) {
    Duration sum{};
    Ended ended;
    for (auto _ : state) {
        ended = borrow_in_vain(io, pool);
        sum += std::max(Duration{}, ended.late);
    }
    if (ended.served > 0 || (cause && *ended.error != *cause)) {
        std::ostringstream text;
        text << "borrowers ended otherwise: " << ended.served << " were served";
        if (ended.error) text << ", the last ended with " << *ended.error;
        return state.SkipWithError(text.str().c_str());
    }
    report_instead(state, static_cast<double>(sum.count()) / static_cast<double>(state.iterations()), 0);
}

void measure_unreachable(benchmark::State& state, const std::string& dsn, std::optional<Errc> cause) {
    asio::io_context io{1};
    PostgresPool pool{io.get_executor(), config(), postgres::Connections{dsn}};
    measure_lateness(state, io, pool, cause);
}

/// The server's port is open, and nobody is there.
void measure_hung(benchmark::State& state) {
    asio::io_context silent;
    using Tcp = asio::ip::tcp;
    const Tcp::acceptor listener{silent, Tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
    measure_unreachable(state, "host=127.0.0.1 port=" + std::to_string(listener.local_endpoint().port()),
                        Errc::pool_timeout);
}

void measure_busy(benchmark::State& state) {
    asio::io_context io{1};
    SimulatedServer<SteadyTime> server{{}, {}};
    using Pool = ConnectionPool<SimulatedServer<SteadyTime>::Factory>;
    auto without_checks = config(connections);
    without_checks.validation_window = 24h;
    Pool pool{io.get_executor(), without_checks, SimulatedServer<SteadyTime>::Factory{server}};
    run_until_idle(io, pool, connections);
    std::vector<Pool::Lease> held;
    while (auto lease = pool.try_get_connection()) held.push_back(std::move(*lease));
    measure_lateness(state, io, pool, Errc::pool_timeout);
}

/// A server that `fail(proxy)` makes unreachable while there are connections to it, which must be checked before
/// anybody gets them.
void measure_cut_off(benchmark::State& state, const Database& database, const std::function<void(FaultProxy&)>& fail) {
    FaultProxy proxy{static_cast<std::uint16_t>(std::stoi(database.port()))};
    asio::io_context io{1};
    auto with_checks = config(connections);
    with_checks.validation_window = 0ms;
    PostgresPool pool{io.get_executor(), with_checks,
                      postgres::Connections{database.tcp_dsn + " port=" + proxy.port()}};
    run_until_idle(io, pool, connections);
    fail(proxy);
    measure_lateness(state, io, pool, std::nullopt);
}

/// Each message takes longer than a borrower has time, and a connect takes several.
void measure_slow(benchmark::State& state, const Database& database) {
    FaultProxy proxy{static_cast<std::uint16_t>(std::stoi(database.port()))};
    proxy.delay(1s);
    measure_unreachable(state, database.tcp_dsn + " port=" + proxy.port(), Errc::pool_timeout);
}

} // namespace

void declare(Suite& suite) {
    const Measure one{.threads = {1}, .iterations = suite.is_smoke() ? 1 : 5};
    const auto add = [&](const char* name, Suite::Function measure) {
        suite.add(std::string{"pool/lateness_"} + name, std::move(measure), one);
    };
    add("refused", [](auto& state) { measure_unreachable(state, "host=127.0.0.1 port=1", Errc::connect_failed); });
    // Whether the resolver has said so by then is its own affair.
    add("unknown_host", [](auto& state) { measure_unreachable(state, "host=nowhere.invalid", std::nullopt); });
    add("hung", measure_hung);
    add("busy", measure_busy);

    const auto database = database_of(suite, {"pool/lateness_slow", "pool/lateness_black_hole", "pool/lateness_down"});
    if (!database) return;
    add("slow", [=](auto& state) { measure_slow(state, *database); });
    add("black_hole",
        [=](auto& state) { measure_cut_off(state, *database, [](FaultProxy& proxy) { proxy.begin_black_hole(); }); });
    add("down", [=](auto& state) {
        measure_cut_off(state, *database, [](FaultProxy& proxy) {
            proxy.refuse();
            proxy.reset_all();
        });
    });
}

} // namespace velostream::bench
