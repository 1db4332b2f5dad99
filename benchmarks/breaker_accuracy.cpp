// SPDX-License-Identifier: Apache-2.0
//
// How well circuit breakers judge, where the other benchmarks say what they cost: by how much their windows are off
// while several threads record, and what they make of a service's bad days. Prints tables, and draws them.
#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "accuracy/accuracy_report.hpp"

namespace {

using namespace std::chrono_literals;
using namespace velostream::bench;
using velostream::CircuitBreakerConfig;

std::vector<WindowResult> measure_windows(bool smoke) {
    constexpr std::size_t never = 1'000'000'000; // failures that no window holds
    const CircuitBreakerConfig last_100{.failure_threshold = never};
    CircuitBreakerConfig last_1000 = last_100, in_time = last_100;
    last_1000.sliding_window_size = 1000;
    in_time.sliding_window_duration = 10ms;
    std::vector<WindowResult> windows{{"last 100", {}}, {"last 1000", {}}, {"time, 10 x 100", {}}};
    const CircuitBreakerConfig* configs[] = {&last_100, &last_1000, &in_time};
    for (std::size_t i = 0; i < windows.size(); ++i)
        for (const int recorders : {1, 2, 4, 8, 16})
            windows[i].by_recorders.push_back(
                measure_window(*configs[i], recorders, smoke ? 20'000 : std::size_t{2'000'000}));
    return windows;
}

std::vector<OpeningErrors> measure_openings_of_rate(bool smoke) {
    CircuitBreakerConfig half{.failure_threshold = 100, .minimum_throughput = 20};
    half.failure_rate_threshold = 0.5;
    std::vector<OpeningErrors> openings;
    for (const int recorders : {1, 2, 4, 8, 16})
        openings.push_back(measure_openings(half, recorders, smoke ? 20 : 2000));
    return openings;
}

std::vector<TraceResult> run_traces(bool smoke) {
    std::vector<TraceResult> results;
    for (const auto& trace : traces()) {
        auto& result = results.emplace_back(TraceResult{trace, {}});
        for (const auto& contender : contenders())
            result.trials.push_back(run_trial(trace, contender, smoke ? 0.1 : 1.0));
    }
    return results;
}

void write(const std::filesystem::path& path, std::string_view text) {
    std::ofstream file{path};
    file << text;
    if (!file.flush()) throw std::runtime_error{"cannot write " + path.string()};
}

} // namespace

int main(int argc, char** argv) {
    std::string folder;
    bool smoke = false;
    CLI::App app{"Shows how accurately circuit breakers judge."};
    app.add_option("--svg", folder, "draw breaker_windows.svg and breaker_traces.svg into this folder");
    app.add_flag("--smoke", smoke, "show only that everything runs: little of everything, worthless figures");
    CLI11_PARSE(app, argc, argv);

    try {
        const auto windows = measure_windows(smoke);
        std::cout
            << "windows beside an exact one: looks that showed another number of failures, and by how many\n"
            << to_table(windows) << '\n'
            << "circuits that open when half of the last 100 calls failed: how many outcomes later than an exact one\n"
            << to_table(measure_openings_of_rate(smoke)) << '\n';
        const auto ways = contenders();
        for (const auto& way : ways) std::cout << way.name << ": " << way.rules << '\n';
        const auto results = run_traces(smoke);
        std::cout << '\n' << to_table(results, ways);
        if (!folder.empty()) {
            write(std::filesystem::path{folder} / "breaker_windows.svg", to_figure(windows));
            write(std::filesystem::path{folder} / "breaker_traces.svg", to_figure(results, ways));
        }
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
