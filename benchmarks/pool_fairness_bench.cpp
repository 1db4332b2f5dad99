// SPDX-License-Identifier: Apache-2.0
//
// Eight connections and 64 borrowers who want one again and again: what it costs to serve who waits longest, beside a
// pool where anybody may overtake anybody, and how long one waits at most.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pools/simulated_server.hpp"
#include "pools/unfair_pool.hpp"
#include "support/shared_trial.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t connections = 8;
constexpr std::size_t borrowers = 64;

struct Figures {
    double per_query_ns = 0;
    double median_wait_ns = 0; // of those who had to wait
    double longest_wait_ns = 0;
};

/// `queries` queries by all borrowers together, each as long as `query`; zero: one turn of the executor.
template <class Borrow>
class Trial {
  public:
    Trial(asio::io_context& io, Borrow borrow, std::size_t queries, Duration query)
        : io_(io), borrow_(std::move(borrow)), queries_(queries), query_(query) {
        waits_.reserve(queries);
    }

    Figures run() {
        const auto began = time_.now();
        for (std::size_t count = 0; count < borrowers; ++count) asio::co_spawn(io_, work(), rethrow);
        io_.restart();
        while (ended_ < borrowers && io_.run_one() > 0) continue;
        const auto took = time_.now() - began;
        // The first to come find a connection; of an unfair pool so may others.
        std::erase_if(waits_, [](Duration wait) { return wait < 1us; });
        std::ranges::sort(waits_);
        Figures figures{.per_query_ns = static_cast<double>(took.count()) / static_cast<double>(queries_)};
        if (waits_.empty()) return figures;
        figures.median_wait_ns = static_cast<double>(waits_[waits_.size() / 2].count());
        figures.longest_wait_ns = static_cast<double>(waits_.back().count());
        return figures;
    }

  private:
    asio::awaitable<void> work() {
        while (begun_ < queries_) {
            const auto asked_at = time_.now();
            auto borrowing = borrow_();
            const auto lease = co_await std::move(borrowing);
            if (begun_++ >= queries_) break;
            waits_.push_back(time_.now() - asked_at);
            auto holding = hold();
            co_await std::move(holding);
        }
        ++ended_;
    }
    asio::awaitable<void> hold() {
        if (query_ > Duration{}) return pause_until(time_, time_.now() + query_);
        return one_turn();
    }
    static asio::awaitable<void> one_turn() {
        auto turn = asio::post(asio::deferred);
        co_await std::move(turn);
    }

    asio::io_context& io_;
    Borrow borrow_;
    SteadyTime time_;
    const std::size_t queries_;
    const Duration query_;
    std::size_t begun_ = 0;
    std::size_t ended_ = 0;
    std::vector<Duration> waits_;
};

Figures fair(std::size_t queries, Duration query) {
    using Server = SimulatedServer<SteadyTime>;
    asio::io_context io{1};
    Server server{{}, {}};
    ConnectionPool pool{
        io.get_executor(),
        ConnectionPoolConfig{.max_size = connections, .min_idle = connections, .max_waiters = borrowers},
        Server::Factory{server}};
    while (pool.get_stats().idle < connections) io.run_one();
    auto borrow = [&pool]() -> asio::awaitable<ConnectionLease<Server::Connection>> {
        auto borrowing = pool.get_connection();
        auto lease = co_await std::move(borrowing);
        if (!lease) throw std::runtime_error{lease.error().message()};
        co_return std::move(*lease);
    };
    return Trial{io, borrow, queries, query}.run();
}

Figures unfair(std::size_t queries, Duration query) {
    asio::io_context io{1};
    UnfairPool pool{io.get_executor(), connections};
    return Trial{io, [&pool] { return pool.get_connection(); }, queries, query}.run();
}

/// Rows of one trial.
class Rows {
  public:
    Rows(Suite& suite, std::function<Figures()> trial)
        : suite_(suite), trial_(std::make_shared<SharedTrial<Figures>>(std::move(trial))) {}

    void add(const std::string& name, double Figures::* figure) {
        auto show = [trial = trial_, name, figure](benchmark::State& state) {
            for (auto _ : state) benchmark::DoNotOptimize(state.iterations());
            const auto& figures = trial->for_row(name);
            state.SetLabel("waits " + in_ms(figures.median_wait_ns) + " in the median, " +
                           in_ms(figures.longest_wait_ns) + " at most");
            report_instead(state, figures.*figure, 0);
        };
        suite_.add(name, show, {.threads = {1}, .iterations = 1});
    }

  private:
    static std::string in_ms(double ns) {
        char text[32];
        std::snprintf(text, sizeof text, "%.2f ms", ns / 1e6);
        return text;
    }

    Suite& suite_;
    std::shared_ptr<SharedTrial<Figures>> trial_;
};

} // namespace

void declare(Suite& suite) {
    const std::size_t queries = suite.is_smoke() ? 300 : 3000;
    Rows{suite, [=] { return unfair(queries, 1ms); }}.add("floor/unfair_pool", &Figures::per_query_ns);
    Rows rows{suite, [=] { return fair(queries, 1ms); }};
    rows.add("pool/fair", &Figures::per_query_ns);
    rows.add("pool/fair_median_wait", &Figures::median_wait_ns);
    rows.add("pool/fair_longest_wait", &Figures::longest_wait_ns);

    // Shorter than a server's answer, down to connections that are given back at once.
    for (const auto& [name, length] : {std::pair{"_100us", Duration{100us}}, std::pair{"_0us", Duration{}}}) {
        const auto more = queries * (length > Duration{} ? 5 : 50);
        Rows{suite, [=, query = length] { return unfair(more, query); }}.add(std::string{"pool/unfair"} + name,
                                                                             &Figures::per_query_ns);
        Rows{suite, [=, query = length] { return fair(more, query); }}.add(std::string{"pool/fair"} + name,
                                                                           &Figures::per_query_ns);
    }
}

} // namespace velostream::bench
