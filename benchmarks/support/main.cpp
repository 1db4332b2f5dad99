// SPDX-License-Identifier: Apache-2.0
//
// The main function of every benchmark program. Run by hand it prints its own table; velostream_bench_report takes
// the samples of all programs instead.
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

#include "figures/rows.hpp"
#include "figures/table.hpp"
#include "support/runner.hpp"

namespace {

using namespace velostream::bench;

constexpr int bad_option = 2;

void print(const ProgramResult& result) {
    const auto rows = make_rows({result}, project_goals());
    std::cout << to_table(rows) << to_table(growth_of(rows));
    for (const auto& row : result.samples)
        if (!row.remark.empty()) std::cout << row.name << ": " << row.remark << '\n';
    for (const auto& row : result.left_out) std::cout << "left out: " << row.name << ": " << row.reason << '\n';
    std::cout << "load average " << result.load_before << " before, " << result.load_after << " after\n";
}

void write(const ProgramResult& result, const std::string& path) {
    std::ofstream file{path};
    file << to_json(result) << '\n';
    if (!file.flush()) throw std::runtime_error{"cannot write " + path};
}

} // namespace

int main(int argc, char** argv) {
    std::string filter;
    std::string samples_file;
    bool smoke = false;
    RunOptions options;
    double sample_time = options.sample_time.count();

    CLI::App app{"Measures one part of velostream."};
    app.add_option("--filter", filter, "regular expression; floors of the selected rows are run too");
    app.add_option("--samples", samples_file, "write the samples to this file instead of printing a table");
    app.add_option("--repetitions", options.repetitions, "rounds in which every row is measured once")
        ->check(CLI::PositiveNumber);
    app.add_option("--sample-time", sample_time, "seconds that one sample of a row lasts")->check(CLI::PositiveNumber);
    app.add_flag("--smoke", smoke, "show only that everything runs: one short round, worthless figures");
    CLI11_PARSE(app, argc, argv);

    try {
        options.filter = Filter{filter};
    } catch (const std::invalid_argument& error) {
        std::cerr << error.what() << '\n';
        return bad_option;
    }
    options.sample_time = std::chrono::duration<double>{sample_time};
    if (smoke) {
        options.repetitions = 1;
        options.sample_time = std::chrono::duration<double>{0.005};
    }

    try {
        const auto from_environment = [](const char* name) {
            const char* value = std::getenv(name);
            return std::string{value != nullptr ? value : ""};
        };
        Suite suite{smoke, from_environment("VELOSTREAM_BROKERS"), from_environment("VELOSTREAM_TEST_DATABASE")};
        declare(suite);
        const auto result = run(suite, std::filesystem::path{argv[0]}.filename(), options);
        if (samples_file.empty()) {
            print(result);
        } else {
            write(result, samples_file);
        }
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
