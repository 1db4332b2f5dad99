// SPDX-License-Identifier: Apache-2.0
//
// Many who wait, and many pools: what one more costs to serve and to cancel, in time and in memory.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pools/simulated_server.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

using Server = SimulatedServer<SteadyTime>;
using Pool = ConnectionPool<Server::Factory>;

constexpr std::size_t waiters_of_each_pool = 100;

std::size_t heap_bytes() {
    const auto heap = ::mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

/// Pools of one connection each, which is lent out while others wait for it.
class Place {
  public:
    explicit Place(std::size_t pools) {
        const auto before = heap_bytes();
        for (std::size_t count = 0; count < pools; ++count)
            pools_.emplace_back(
                io_.get_executor(),
                ConnectionPoolConfig{
                    .max_size = 1, .min_idle = 1, .connection_timeout = 1h, .max_waiters = 0, .validation_window = 24h},
                Server::Factory{server_});
        for (auto& pool : pools_) {
            while (pool.get_stats().idle == 0) io_.run_one();
            held_.push_back(*pool.try_get_connection());
        }
        bytes_of_pools_ = heap_bytes() - before;
    }

    void wait(std::size_t waiters) {
        signals_ = std::vector<asio::cancellation_signal>(waiters);
        const auto before = heap_bytes();
        for (std::size_t count = 0; count < waiters; ++count)
            pools_[count % pools_.size()].async_acquire(asio::bind_cancellation_slot(
                signals_[count].slot(), asio::bind_executor(io_, [this](Result<Pool::Lease> lease) {
                    if (lease) ++served_;
                    ++ended_;
                })));
        bytes_of_waiters_ = heap_bytes() - before;
    }

    /// Each in its turn: who is served gives the connection back.
    Duration serve_all() {
        return until_all_have_ended([this] { held_.clear(); });
    }
    Duration cancel_all() {
        return until_all_have_ended([this] {
            for (auto& signal : signals_) signal.emit(asio::cancellation_type::terminal);
        });
    }

    std::size_t served() const { return served_; }
    std::size_t bytes_of_pools() const { return bytes_of_pools_; }
    std::size_t bytes_of_waiters() const { return bytes_of_waiters_; }

  private:
    template <class Begin>
    Duration until_all_have_ended(Begin begin) {
        const SteadyTime time;
        const auto began = time.now();
        begin();
        io_.restart();
        while (ended_ < signals_.size() && io_.run_one() > 0) continue;
        return time.now() - began;
    }

    asio::io_context io_{1};
    Server server_{{}, {}};
    std::vector<asio::cancellation_signal> signals_;
    std::deque<Pool> pools_;
    std::vector<Pool::Lease> held_;
    std::size_t served_ = 0;
    std::size_t ended_ = 0;
    std::size_t bytes_of_pools_ = 0;
    std::size_t bytes_of_waiters_ = 0;
};

void measure(benchmark::State& state, std::size_t pools, std::size_t waiters, bool serves) {
    Duration sum{};
    std::string remark;
    for (auto _ : state) {
        Place place{pools};
        place.wait(waiters);
        sum += serves ? place.serve_all() : place.cancel_all();
        if (place.served() != (serves ? waiters : 0)) return state.SkipWithError("not all ended as they should");
        remark = std::to_string(place.bytes_of_pools() / pools) + " bytes a pool with its connection, " +
                 std::to_string(place.bytes_of_waiters() / waiters) + " bytes a waiter";
    }
    state.SetLabel(remark);
    report_instead(state, static_cast<double>(sum.count()) / static_cast<double>(waiters), 0);
}

void add(Suite& suite, const std::string& name, std::size_t pools, std::size_t waiters, bool serves) {
    suite.add(name, [=](auto& state) { measure(state, pools, waiters, serves); }, {.threads = {1}, .iterations = 1});
}

} // namespace

void declare(Suite& suite) {
    for (const std::size_t waiters : {1'000U, 10'000U, 100'000U}) {
        if (suite.is_smoke() && waiters > 10'000) continue;
        add(suite, "growth/pool_waiters_served/" + std::to_string(waiters), 1, waiters, true);
        add(suite, "growth/pool_waiters_cancelled/" + std::to_string(waiters), 1, waiters, false);
    }
    for (const std::size_t pools : {10U, 100U, 1'000U}) {
        if (suite.is_smoke() && pools > 100) continue;
        add(suite, "growth/pools_with_waiters_served/" + std::to_string(pools), pools, pools * waiters_of_each_pool,
            true);
        add(suite, "growth/pools_with_waiters_cancelled/" + std::to_string(pools), pools, pools * waiters_of_each_pool,
            false);
    }
}

} // namespace velostream::bench
