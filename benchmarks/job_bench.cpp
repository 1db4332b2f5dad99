// SPDX-License-Identifier: Apache-2.0
//
// The main job on the real orders, against the same work on plain librdkafka without any governance. Both are measured
// as whole processes, start and end included; figures are per order line.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "orders/order_lines.hpp"
#include "process/child.hpp"
#include "process/temporary_folder.hpp"
#include "support/allocations.hpp"
#include "support/suite.hpp"

namespace velostream::bench {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::chrono::minutes longest_run{5};

fs::path beside_this_program(const char* name) {
    return fs::canonical("/proc/self/exe").parent_path() / name;
}

/// The first lines of the orders, in a file of its own.
void write_first_lines(const std::string& orders, std::size_t count, const fs::path& path) {
    std::ofstream file{path};
    file << bare::header_line << '\n';
    bare::LineFile lines{orders};
    std::string_view line;
    for (std::size_t i = 0; i < count && lines.next(line); ++i) file << line << '\n';
    if (!file.flush()) throw std::runtime_error{"cannot write " + path.string()};
}

/// What every run of every contender must find out.
json result_in(const fs::path& report) {
    const auto all = json::parse(std::ifstream{report});
    json result;
    for (const char* key : {"lines", "valid", "customers", "grand_total"}) result[key] = all.at(key);
    for (const char* reason : {"line", "CustomerID", "Quantity", "UnitPrice"})
        result[reason] = all.at("dead_letters").at("by_reason").value(reason, 0);
    result["dead letters"] = all.at("dead_letters").at("total");
    return result;
}

class Job {
  public:
    explicit Job(bool smoke) : input_(VELOSTREAM_ORDERS_DATA) {
        if (!smoke) return;
        input_ = (folder_.path() / "orders.csv").string();
        write_first_lines(VELOSTREAM_ORDERS_DATA, 20'000, input_);
    }

    /// Runs a program to its end, once, and compares what it reports with what the run before reported.
    void measure(benchmark::State& state, const char* program, std::vector<std::string> options) {
        const auto report = folder_.path() / "report.json";
        options.insert(options.end(), {"--input", input_, "--report", report.string()});
        ChildUsage usage;
        for (auto _ : counted(state)) usage = run_child(beside_this_program(program), options, longest_run);

        const auto result = result_in(report);
        if (expected_.is_null()) expected_ = result;
        if (result != expected_) {
            const auto message = std::string{program} + " reports " + result.dump() + ", not " + expected_.dump();
            state.SkipWithError(message.c_str());
            return;
        }
        const double lines = result.at("lines");
        report_instead(state, usage.wall_seconds * 1e9 / lines, usage.cpu_seconds * 1e9 / lines);
    }

    /// A prefix that no run used before.
    std::string new_prefix() { return "bench-" + std::to_string(::getpid()) + "-" + std::to_string(++runs_); }

  private:
    TemporaryFolder folder_;
    std::string input_;
    json expected_;
    int runs_ = 0;
};

} // namespace

void declare(Suite& suite) {
    constexpr auto* rows_on_a_broker = "job/orders_broker";
    constexpr auto* rows_against_defaults = "job/orders_broker_vs_defaults";
    if (!fs::exists(beside_this_program("orders_pipeline"))) {
        for (const auto* name : {"job/orders_mock", rows_on_a_broker, rows_against_defaults})
            suite.leave_out(name, "orders_pipeline is not built beside this program");
        return;
    }
    static Job job{suite.is_smoke()};
    const auto pipeline = [](std::vector<std::string> options) {
        return [options](benchmark::State& state) {
            auto all = options;
            all.emplace_back("--quiet");
            if (!options.empty()) all.insert(all.end(), {"--clean", "--prefix", job.new_prefix()});
            job.measure(state, "orders_pipeline", std::move(all));
        };
    };
    const auto bare_loop = [](std::vector<std::string> options) {
        return [options](benchmark::State& state) {
            auto all = options;
            if (!options.empty()) all.insert(all.end(), {"--prefix", job.new_prefix()});
            job.measure(state, "bare_orders_loop", std::move(all));
        };
    };
    const Measure one_run{.threads = {1}, .iterations = 1};

    suite.add("floor/bare_loop", bare_loop({}), one_run);
    suite.add("job/orders_mock", pipeline({}), one_run);

    const auto& brokers = suite.brokers();
    if (brokers.empty()) {
        for (const auto* name : {rows_on_a_broker, rows_against_defaults})
            suite.leave_out(name, "needs a Kafka cluster: --brokers HOST:PORT or VELOSTREAM_BROKERS");
        return;
    }
    suite.add("floor/bare_loop_broker", bare_loop({"--brokers", brokers}), one_run);
    suite.add(rows_on_a_broker, pipeline({"--brokers", brokers}), one_run);
    suite.add("floor/bare_loop_defaults", bare_loop({"--brokers", brokers, "--defaults"}), one_run);
    suite.add(rows_against_defaults, pipeline({"--brokers", brokers}), one_run);
}

} // namespace velostream::bench
