// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "figures/samples.hpp"

namespace velostream::bench {

/// How a benchmark is measured.
struct Measure {
    /// One row for each.
    std::vector<int> threads{1, 2};
    /// Counts the CPU time of every thread of the process, such as those of a library, instead of the measuring ones.
    bool whole_process = false;
    /// Operations of one repetition; 0 lets Google Benchmark find out how many fill the time.
    std::int64_t iterations = 0;
};

/// The benchmarks of one program.
class Suite {
  public:
    using Function = std::function<void(benchmark::State&)>;

    /// Adds a row. Its goal, if it has one, stands in figures/goals.cpp under the same name, and the floor that is
    /// named there must be added to the same suite, best just before: repetitions go round in the order of addition.
    void add(std::string name, Function function, Measure measure = {});

    /// Says that a row cannot be measured here, and why. The reader of the table is told.
    void leave_out(std::string name, std::string reason);

    /// True in a run that only shows that everything works: a benchmark that chooses its own amount of work chooses
    /// little.
    bool is_smoke() const { return smoke_; }

    /// `HOST:PORT` of a real Kafka cluster (the environment's VELOSTREAM_BROKERS), or empty.
    const std::string& brokers() const { return brokers_; }

    /// The folder of a PostgreSQL server that cmake/test_database.sh has started (the environment's
    /// VELOSTREAM_TEST_DATABASE), or empty.
    const std::string& database() const { return database_; }

    // For the runner.
    struct Benchmark {
        std::string name;
        Function function;
        Measure measure;
    };
    Suite(bool smoke, std::string brokers, std::string database = {})
        : smoke_(smoke), brokers_(std::move(brokers)), database_(std::move(database)) {}
    const std::vector<Benchmark>& benchmarks() const { return benchmarks_; }
    const std::vector<LeftOut>& left_out() const { return left_out_; }

  private:
    void check_is_new(std::string_view name) const;

    bool smoke_;
    std::string brokers_;
    std::string database_;
    std::vector<Benchmark> benchmarks_;
    std::vector<LeftOut> left_out_;
};

/// Every `*_bench.cpp` defines this and nothing else that the harness knows of:
///
///     void velostream::bench::declare(Suite& suite) {
///         suite.add("floor/mutex_pair", floors::mutex_pair);
///         suite.add("pool/borrow_return", borrow_return);
///     }
void declare(Suite& suite);

/// What a row has to say that is no time, such as a count, is set as the state's label
/// (`state.SetLabel("4 connects")`); it stands under the table.

/// For a benchmark that measured something else than its own loop, such as a child process: takes the place of what
/// Google Benchmark saw. Per operation. The row shows no allocations then: nobody counts those of a child. Call it
/// after the loop.
void report_instead(benchmark::State& state, double wall_ns, double cpu_ns);

} // namespace velostream::bench
