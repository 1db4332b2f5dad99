// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>

/// The cheapest thing that physically must happen, for each kind of work. They are shared so that a floor of one name
/// is the same code in every program; add them under `floor/<function>`.
namespace velostream::bench::floors {

namespace asio = boost::asio;

/// A reservation: one atomic addition and one subtraction, on a line of the thread's own. Only at one thread.
void fetch_add_pair(benchmark::State& state);

/// A reservation below a limit that all threads share: two compare-and-swap loops on one number.
void cas_loop_pair(benchmark::State& state);

/// A breaker's call: a look at the state, then one outcome into a ring of 100 with its failure count, under a mutex.
/// Threads share the ring. One outcome in 128 is a failure.
void mutex_ring_100(benchmark::State& state);

/// A refusal: one look at a shared state and one reading of the steady clock.
void atomic_load(benchmark::State& state);

/// Taking something out of a shared place and putting it back: one lock and unlock of a shared mutex.
void mutex_pair(benchmark::State& state);

/// An operation that is ready: one coroutine awaits another that returns a number at once. Add it through
/// `in_coroutine`.
asio::awaitable<void> await_leaf(benchmark::State& state);

/// An operation that is ready and can be cancelled by itself: the same in a coroutine that is spawned with a slot of
/// its own. Add it through `in_coroutine`.
asio::awaitable<void> co_spawn_with_slot(benchmark::State& state);

} // namespace velostream::bench::floors
