// SPDX-License-Identifier: Apache-2.0
//
// Runs every benchmark program that stands beside it and prints one table.
#include <stdlib.h> // setenv

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "figures/rows.hpp"
#include "figures/selection.hpp"
#include "figures/table.hpp"
#include "report/programs.hpp"

namespace {

using namespace velostream::bench;

constexpr int bad_option = 2;

struct Options {
    std::string filter;
    std::string json_file;
    std::string brokers;
    std::string database;
    int repetitions = 0; // 0: as many as the programs like
    bool smoke = false;
};

std::vector<std::string> for_programs(const Options& options) {
    std::vector<std::string> arguments;
    if (!options.filter.empty()) arguments.insert(arguments.end(), {"--filter", options.filter});
    if (options.repetitions > 0)
        arguments.insert(arguments.end(), {"--repetitions", std::to_string(options.repetitions)});
    if (options.smoke) arguments.emplace_back("--smoke");
    return arguments;
}

/// Runs everything. Says on standard error which program runs and which one failed.
struct Measured {
    std::vector<ProgramResult> results;
    bool complete = true;
};
Measured measure(const Options& options) {
    const auto programs = programs_in(std::filesystem::canonical("/proc/self/exe").parent_path());
    if (programs.empty()) throw std::runtime_error{"no benchmark program (*_bench) stands beside this one"};
    Measured measured;
    for (const auto& program : programs) {
        std::cerr << "running " << program.filename().string() << std::endl;
        try {
            measured.results.push_back(run_program(program, for_programs(options)));
        } catch (const std::runtime_error& error) {
            std::cerr << "error: " << error.what() << std::endl;
            measured.complete = false;
        }
    }
    return measured;
}

bool anything_left_out(const std::vector<ProgramResult>& results) {
    return std::ranges::any_of(results, [](const ProgramResult& result) { return !result.left_out.empty(); });
}

void print(const std::vector<ProgramResult>& results, const std::vector<Row>& rows, bool smoke) {
    std::cout << to_table(rows);
    const auto growth = growth_of(rows);
    if (!growth.empty()) std::cout << '\n' << to_table(growth);

    std::cout << '\n';
    for (const auto& result : results)
        for (const auto& row : result.samples)
            if (!row.remark.empty()) std::cout << row.name << ": " << row.remark << '\n';
    for (const auto& result : results)
        for (const auto& row : result.left_out) std::cout << "left out: " << row.name << ": " << row.reason << '\n';
    std::cout << "load average:";
    for (const auto& result : results)
        if (!result.samples.empty())
            std::cout << ' ' << result.program << ' ' << result.load_before << " to " << result.load_after << ';';
    std::cout << ' ' << std::thread::hardware_concurrency() << " processors\n";
    if (smoke) std::cout << "A smoke run: it shows that everything runs, its figures mean nothing.\n";
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app{"Runs the benchmarks of velostream and prints what they measured, beside floors and goals."};
    app.add_option("--filter", options.filter, "only benchmarks in whose name this regular expression is found");
    app.add_option("--json", options.json_file, "also write the table to this file, as JSON");
    app.add_option("--brokers", options.brokers, "HOST:PORT of a Kafka cluster for the rows that need a real one");
    app.add_option("--database", options.database,
                   "folder of a PostgreSQL server that cmake/test_database.sh has started, for the rows that need one");
    app.add_option("--repetitions", options.repetitions, "rounds in which every row is measured once (default 7)")
        ->check(CLI::PositiveNumber);
    app.add_flag("--smoke", options.smoke, "show only that everything runs: one short round, worthless figures");
    try {
        app.parse(argc, argv);
        const Filter check{options.filter};
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == EXIT_SUCCESS ? EXIT_SUCCESS : bad_option;
    } catch (const std::invalid_argument& error) {
        std::cerr << "--filter: " << error.what() << '\n';
        return bad_option;
    }
    std::ofstream json;
    if (!options.json_file.empty()) {
        json.open(options.json_file);
        if (!json) {
            std::cerr << "--json: cannot write " << options.json_file << '\n';
            return bad_option;
        }
    }
    if (!options.brokers.empty()) ::setenv("VELOSTREAM_BROKERS", options.brokers.c_str(), 1);
    if (!options.database.empty()) ::setenv("VELOSTREAM_TEST_DATABASE", options.database.c_str(), 1);

    try {
        const auto [results, complete] = measure(options);
        const auto rows = make_rows(results, project_goals());
        if (complete && rows.empty() && !anything_left_out(results)) {
            std::cerr << "--filter: no benchmark matches '" << options.filter << "'\n";
            return bad_option;
        }
        print(results, rows, options.smoke);
        json << to_json(rows) << '\n';
        if (json.is_open() && !json.flush()) throw std::runtime_error{"cannot write " + options.json_file};
        return complete ? EXIT_SUCCESS : EXIT_FAILURE;
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
