// SPDX-License-Identifier: Apache-2.0
// What a circuit breaker for each of many keys costs a call: of keys of which nothing bad is known, of keys that fail
// now and then, and of a mixture, as the number of keys grows.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "support/allocations.hpp"
#include "support/floors.hpp"
#include "support/suite.hpp"
#include "velostream/keyed_circuit_breakers.hpp"

namespace velostream::bench {

namespace {

using namespace std::chrono_literals;

using Breakers = KeyedCircuitBreakers<std::uint64_t>;

constexpr KeyedCircuitBreakersConfig config{
    .breaker = {.failure_threshold = 1'000'000'000, .sliding_window_duration = 24h}, .max_keys = 1'000'000};

// Keys in an order that no cache foresees.
class Keys {
  public:
    explicit Keys(std::uint64_t count) : count_(count) {}
    std::uint64_t next() noexcept {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return (state_ >> 33) % count_;
    }

  private:
    std::uint64_t count_;
    std::uint64_t state_ = 1;
};

void call_them(benchmark::State& state, Breakers& breakers, std::uint64_t keys) {
    Keys random{keys};
    for (auto _ : counted(state)) {
        auto permit = breakers.try_acquire(random.next());
        permit->success();
    }
}

void success_of_pristine(benchmark::State& state, std::uint64_t keys) {
    static Breakers breakers{"pristine", config};
    call_them(state, breakers, keys);
}

// Every key has failed once within the window.
void success_of_failing(benchmark::State& state, std::uint64_t keys) {
    Breakers breakers{"failing", config};
    const Error error = Errc::connect_failed;
    for (std::uint64_t key = 0; key < keys; ++key) breakers.try_acquire(key)->failure(error);
    call_them(state, breakers, keys);
}

// One key in a hundred has.
void one_of_many_keys(benchmark::State& state, std::uint64_t keys) {
    Breakers breakers{"many", config};
    const Error error = Errc::connect_failed;
    for (std::uint64_t key = 0; key < keys; key += 100) breakers.try_acquire(key)->failure(error);
    call_them(state, breakers, keys);
}

} // namespace

void declare(Suite& suite) {
    const Measure one{.threads = {1}};
    const auto named = [](const char* name, std::uint64_t keys) { return name + std::to_string(keys); };
    suite.add("floor/mutex_pair", floors::mutex_pair);
    for (const std::uint64_t keys : {1U, 1'000U, 1'000'000U})
        suite.add(named("keyed_breaker/success_of_pristine/", keys),
                  [keys](benchmark::State& state) { success_of_pristine(state, keys); });
    for (const std::uint64_t keys : {1U, 1'000U, 100'000U})
        suite.add(
            named("keyed_breaker/success_of_failing/", keys),
            [keys](benchmark::State& state) { success_of_failing(state, keys); }, one);
    for (const std::uint64_t keys : {100U, 10'000U, 1'000'000U})
        suite.add(
            named("growth/keyed_breakers/", keys), [keys](benchmark::State& state) { one_of_many_keys(state, keys); },
            one);
}

} // namespace velostream::bench
