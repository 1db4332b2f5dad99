// SPDX-License-Identifier: Apache-2.0
#include "support/runner.hpp"

#include <benchmark/benchmark.h>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "figures/goals.hpp"

namespace velostream::bench {

namespace {

/// Takes one sample from Google Benchmark.
class Collector : public benchmark::BenchmarkReporter {
  public:
    explicit Collector(Samples& samples) : samples_(samples) {}

    bool ReportContext(const Context&) override { return true; }

    void ReportRuns(const std::vector<Run>& runs) override {
        for (const auto& run : runs) {
            if (run.error_occurred) throw std::runtime_error{samples_.name + ": " + run.error_message};
            const auto allocations = run.counters.find("allocations");
            if (allocations == run.counters.end())
                throw std::runtime_error{samples_.name + " counts no allocations: it must loop over counted(state)"};

            const auto iterations = static_cast<double>(run.iterations);
            const auto threads = static_cast<double>(run.threads);
            // Google Benchmark divides the mean time of the threads by the operations of all of them.
            const double wall = run.real_accumulated_time * 1e9 / iterations * threads;
            const double cpu = run.cpu_accumulated_time * 1e9 / iterations;
            samples_.wall_ns.push_back(value_or(run, "wall_ns", wall));
            samples_.cpu_ns.push_back(value_or(run, "cpu_ns", cpu));
            samples_.allocations.push_back(allocations->second.value);
            samples_.remark = run.report_label;
            ++count_;
        }
    }

    std::size_t count() const { return count_; }

  private:
    static double value_or(const Run& run, const char* counter, double measured) {
        const auto found = run.counters.find(counter);
        return found == run.counters.end() ? measured : found->second.value;
    }

    Samples& samples_;
    std::size_t count_ = 0;
};

/// A thread that does nothing. With one thread in the process, glibc's mutexes and libstdc++'s shared pointers leave
/// their atomic instructions out; no streaming application has only one, so no figure may come from there.
class Company {
    std::jthread thread_{[](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any wake;
        std::unique_lock lock{mutex};
        wake.wait(lock, stop, [] { return false; });
    }};
};

void add_to_google_benchmark(const Suite::Benchmark& benchmark) {
    auto* registered = benchmark::RegisterBenchmark(benchmark.name.c_str(), benchmark.function)->UseRealTime();
    if (benchmark.measure.whole_process) registered->MeasureProcessCPUTime();
    if (benchmark.measure.iterations > 0) registered->Iterations(benchmark.measure.iterations);
    for (const int threads : benchmark.measure.threads) registered->Threads(threads);
}

void set_google_benchmark_time(std::chrono::duration<double> time) {
    std::string program = "bench";
    std::string option = "--benchmark_min_time=" + std::to_string(time.count());
    std::array arguments{program.data(), option.data()};
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
}

void take_sample(Samples& samples) {
    Collector collector{samples};
    // Google Benchmark appends how it measures, and the threads last.
    const auto pattern = "^" + samples.name + "/([a-z_]+(:[0-9]+)?/)*threads:" + std::to_string(samples.threads) + "$";
    benchmark::RunSpecifiedBenchmarks(&collector, pattern);
    if (collector.count() != 1) throw std::runtime_error{samples.name + " did not give exactly one sample"};
}

double load_average() {
    double load = 0;
    return ::getloadavg(&load, 1) == 1 ? load : 0;
}

} // namespace

ProgramResult run(const Suite& suite, std::string program, const RunOptions& options) {
    std::vector<std::string> names;
    for (const auto& benchmark : suite.benchmarks()) names.push_back(benchmark.name);
    const auto selected = names_to_run(names, options.filter, project_goals());

    benchmark::ClearRegisteredBenchmarks();
    ProgramResult result{.program = std::move(program), .load_before = load_average()};
    for (const auto& row : suite.left_out())
        if (options.filter.wants(row.name)) result.left_out.push_back(row);
    for (const auto& benchmark : suite.benchmarks()) {
        if (!selected.contains(benchmark.name)) continue;
        add_to_google_benchmark(benchmark);
        for (const int threads : benchmark.measure.threads)
            result.samples.push_back({.name = benchmark.name, .threads = threads});
    }

    const Company company;
    set_google_benchmark_time(options.sample_time);
    for (int repetition = 0; repetition < options.repetitions; ++repetition)
        for (auto& samples : result.samples) take_sample(samples);
    benchmark::Shutdown();
    result.load_after = load_average();
    return result;
}

} // namespace velostream::bench
