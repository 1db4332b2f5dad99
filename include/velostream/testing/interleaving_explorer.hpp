// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "velostream/testing/scheduled_atomic.hpp"

namespace velostream::testing {

/// A few short threads over `ScheduledAtomic`s, for `explore`.
class Interleaving {
  public:
    /// One of the threads, at most 8. It must not throw, block or own anything on its stack across an atomic access:
    /// an execution that leads nowhere new is left in the middle.
    void thread(std::function<void()> body);
    /// Called before every execution. Atomics are set back to what they were when the scenario had been built; whatever
    /// else the threads change must be set back here.
    void begin(std::function<void()> reset);
    /// Called before every step and after the last, while all threads stand still. What it reads is the latest value,
    /// and no step.
    void always(std::function<void()> check);
    /// Called when all threads have ended.
    void finally(std::function<void()> check);
    /// Called with the number of one thread, by order of `thread`, when all others have ended, before each step that it
    /// has still to make: as if it had stopped there for ever. What the check does to atomics is forgotten afterwards,
    /// and the thread goes on. Not called where there is only one thread.
    void stopped(std::function<void(std::size_t)> check);

    /// Ends the exploration with this failure; the first one counts.
    void fail(const std::string& why);
    /// Tells what happens, in order. Everything that a check knows and no atomic holds must be told, or two states that
    /// differ only in that are taken for one.
    void event(std::uint64_t what);
    /// Called by a thread: a step that touches no atomic. Others may come between what is before and what is after it.
    void step();

  private:
    friend class InterleavingExplorer;
    std::vector<std::function<void()>> threads_, begin_, always_, finally_;
    std::vector<std::function<void(std::size_t)>> stopped_;
    std::string failure_;
    std::uint64_t history_ = 0;
};

/// `sequential`: every step is seen by all at once. `weak`: also what the memory orders leave open, see `explore`.
enum class MemoryModel { sequential, weak };

struct Exploration {
    MemoryModel memory = MemoryModel::sequential;
    std::size_t most_steps = 5000; ///< of one execution; a longer one is a failure
    /// Then it gives up. Three threads of six steps have 17 153 136 orders, which all differ where every step's answer
    /// does: some 25 s, and 800 MB for the states.
    std::size_t most_executions = 20'000'000;
    /// Only schedules in which threads that could go on are left standing so often, all together: for scenarios that
    /// have too many others. Most faults need few.
    std::size_t most_switches = ~std::size_t{0};
};

struct ExplorationReport {
    bool complete = false; ///< every schedule was covered, of those with so many switches
    std::size_t executions = 0;
    std::size_t states = 0;
    std::string failure; ///< empty if nothing broke
    std::string trace;   ///< the steps that led to the failure, one a line

    bool passed() const noexcept { return complete && failure.empty(); }
};

/// Runs the threads of a scenario in every order in which their steps can interleave, and says whether a check ever
/// failed.
///
/// ```cpp
/// const auto report = explore([](Interleaving& run) {
///     auto counter = std::make_shared<ScheduledAtomic<int>>(0);
///     for (int thread = 0; thread < 2; ++thread) run.thread([counter] { counter->fetch_add(1); });
///     run.finally([counter, &run] {
///         if (counter->load() != 2) run.fail("an increment was lost");
///     });
/// });
/// EXPECT_TRUE(report.passed()) << report.failure << "\n" << report.trace;
/// ```
///
/// The scenario is built once and must be deterministic. How it is explored: depth first, one real execution a
/// schedule, with threads as fibers. A state (memory, all that each thread was answered, all events) from which
/// everything was tried is not entered again; states are compared by 64-bit hashes.
///
/// With `MemoryModel::weak` a load may return any value that the C++ memory model lets it, of those stored so far: what
/// another thread stored is certain to be seen only through release and acquire, or in the one order of seq_cst
/// accesses. So it finds missing release/acquire pairs, a store that another thread's later load overlooks (Dekker),
/// and a failed compare-and-swap that reports an old value.
///
/// It does not find: what needs a load to return a value that is stored only later (load buffering with relaxed
/// operations); races on plain memory (use ThreadSanitizer); loops that for ever come back to the same state;
/// anything about fences, mutexes and spurious failures, which it does not model; anything longer than the scenario.
///
/// Errors:  throws `std::invalid_argument` for no threads or more than 8.
/// Threads: explorations in several threads do not disturb each other.
ExplorationReport explore(const std::function<void(Interleaving&)>& scenario, const Exploration& exploration = {});

} // namespace velostream::testing
