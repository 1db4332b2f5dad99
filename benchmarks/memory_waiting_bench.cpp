// SPDX-License-Identifier: Apache-2.0
// What it costs to wait for memory, and how the cost of a call grows with the number of accounts and of those who wait.
#include <benchmark/benchmark.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/suite.hpp"
#include "velostream/async_reserve.hpp"
#include "velostream/resource_manager.hpp"

namespace velostream::bench {

namespace {

namespace asio = boost::asio;
constexpr Bytes size = 4096;

// What resuming anybody costs: a handler that goes through its executor.
void post_and_run(benchmark::State& state) {
    asio::io_context io{1};
    std::size_t ran = 0;
    for (auto _ : counted(state)) {
        asio::post(io, [&ran] { ++ran; });
        io.restart();
        io.poll();
    }
    benchmark::DoNotOptimize(ran);
}

// One waits, another gives back, the first one's handler runs with the bytes.
void hand_over(benchmark::State& state) {
    asio::io_context io{1};
    const MemoryAccount process{"process", size};
    const auto account = process.child("query").child("operator");
    std::optional<MemoryReservation> held = *account.try_reserve(size);
    for (auto _ : counted(state)) {
        auto handed = asio::bind_executor(
            io.get_executor(), [&held](Result<MemoryReservation> reserved) { held.emplace(std::move(*reserved)); });
        async_reserve(account, size, std::move(handed));
        held.reset();
        io.restart();
        io.poll();
        if (!held) state.SkipWithError("not handed over");
    }
}

// So many accounts below one, all of which hold something.
struct HoldingAccounts {
    HoldingAccounts(Bytes limit, std::size_t count) : process("process", limit) {
        for (std::size_t index = 0; index < count; ++index) {
            accounts.push_back(process.child("account"));
            held.push_back(*accounts.back().try_reserve(size));
        }
    }

    MemoryAccount process;
    std::vector<MemoryAccount> accounts;
    std::vector<MemoryReservation> held;
};

// A reservation in one of so many accounts.
void one_of_many_accounts(benchmark::State& state, std::size_t count) {
    const HoldingAccounts many{Bytes{1} << 40, count};
    for (auto _ : counted(state)) {
        auto reservation = many.accounts.back().try_reserve(size);
        benchmark::DoNotOptimize(reservation);
    }
}

// A reservation refused by a process that so many accounts hold: the refusal names those that hold most.
void refused_beside_many_accounts(benchmark::State& state, std::size_t count) {
    const HoldingAccounts many{count * size, count};
    for (auto _ : counted(state)) {
        auto reservation = many.accounts.back().try_reserve(size);
        if (reservation) state.SkipWithError("not refused");
    }
}

// An allocation through a manager under high pressure, which is judged each time, beside so many accounts all of which
// leave credit at hand.
void allocation_under_pressure(benchmark::State& state, std::size_t count) {
    asio::io_context io{1};
    ResourceManager resources{io.get_executor(), StreamingConfig{.max_memory_mb = std::uint64_t{1} << 20}};
    std::vector<MemoryAccount> accounts;
    for (std::size_t index = 0; index < count; ++index) {
        accounts.push_back(resources.memory().child("account"));
        for (int i = 0; i < 3; ++i) static_cast<void>(accounts.back().try_reserve(size)); // goes back to this thread
    }
    const auto held = resources.memory().try_reserve((Bytes{85} << 40) / 100);
    if (!held) state.SkipWithError("refused");
    for (auto _ : counted(state)) {
        auto allocation = resources.allocate_memory("batch", size);
        benchmark::DoNotOptimize(allocation);
    }
    io.poll();
}

class Waiting final : public MemoryWaiter {
  public:
    using MemoryWaiter::MemoryWaiter;
    std::optional<Result<MemoryReservation>> result;

  private:
    void on_end(Result<MemoryReservation> ended) noexcept override { result.emplace(std::move(ended)); }
};

// So many wait: the first one is granted and gives back, and another one comes.
void a_turn_among_many(benchmark::State& state, std::size_t count) {
    const MemoryAccount process{"process", size};
    const auto account = process.child("operator");
    const auto come = [&account] {
        auto waiting = std::make_shared<Waiting>(account, size);
        waiting->result = waiting->try_now();
        if (!waiting->result) MemoryWaiter::wait(waiting);
        return waiting;
    };
    std::vector<std::shared_ptr<Waiting>> ring;
    for (std::size_t index = 0; index <= count; ++index) ring.push_back(come());
    std::size_t first = 0;
    for (auto _ : counted(state)) {
        if (!ring[first]->result) state.SkipWithError("its turn did not come");
        ring[first]->result.reset(); // gives back: the next one is granted
        ring[first] = come();
        first = first == count ? 0 : first + 1;
    }
    for (const auto& waiting : ring) {
        if (!waiting->result) MemoryWaiter::leave(waiting);
    }
}

} // namespace

void declare(Suite& suite) {
    const Measure one{.threads = {1}};
    suite.add("floor/post", post_and_run, one);
    suite.add("memory/hand_over", hand_over, one);
    for (const std::size_t count : {1U, 1'000U, 100'000U}) {
        suite.add(
            "growth/memory_accounts/" + std::to_string(count),
            [count](benchmark::State& state) { one_of_many_accounts(state, count); }, one);
        suite.add(
            "growth/memory_refusal/" + std::to_string(count),
            [count](benchmark::State& state) { refused_beside_many_accounts(state, count); }, one);
        suite.add(
            "growth/allocation_under_pressure/" + std::to_string(count),
            [count](benchmark::State& state) { allocation_under_pressure(state, count); }, one);
        suite.add(
            "growth/memory_waiters/" + std::to_string(count),
            [count](benchmark::State& state) { a_turn_among_many(state, count); }, one);
    }
}

} // namespace velostream::bench
