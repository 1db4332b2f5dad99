// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace velostream::bench {

/// How often this thread has called `operator new`, in any of its forms, or `aligned_alloc`, as Asio does, since it
/// began. Every benchmark program replaces the global ones to know.
std::uint64_t allocations_of_this_thread() noexcept;

/// Charges what its thread allocates during its life to the operations of `state`.
class CountAllocations {
  public:
    explicit CountAllocations(benchmark::State& state) noexcept
        : state_(state), before_(allocations_of_this_thread()) {}
    CountAllocations(const CountAllocations&) = delete;
    CountAllocations& operator=(const CountAllocations&) = delete;
    ~CountAllocations() {
        const auto count = allocations_of_this_thread() - before_;
        state_.counters["allocations"] =
            benchmark::Counter{static_cast<double>(count), benchmark::Counter::kAvgIterations};
    }

  private:
    benchmark::State& state_;
    std::uint64_t before_;
};

class CountedLoop {
  public:
    explicit CountedLoop(benchmark::State& state) noexcept : state_(state), count_(state) {}

    auto begin() { return state_.begin(); }
    auto end() { return state_.end(); }

  private:
    benchmark::State& state_;
    CountAllocations count_;
};

/// `for (auto _ : counted(state))` is `for (auto _ : state)` that also counts allocations. Every benchmark loops like
/// this, or has a `CountAllocations` around its loop: a row that counts nothing is refused.
inline CountedLoop counted(benchmark::State& state) noexcept {
    return CountedLoop{state};
}

} // namespace velostream::bench
