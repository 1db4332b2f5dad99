// SPDX-License-Identifier: Apache-2.0
#include "report/programs.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "process/child.hpp"
#include "process/temporary_folder.hpp"

namespace velostream::bench {

namespace fs = std::filesystem;

std::vector<fs::path> programs_in(const fs::path& folder) {
    std::vector<fs::path> programs;
    for (const auto& entry : fs::directory_iterator{folder})
        if (entry.is_regular_file() && entry.path().filename().string().ends_with("_bench"))
            programs.push_back(entry.path());
    std::ranges::sort(programs);
    return programs;
}

ProgramResult run_program(const fs::path& program, const std::vector<std::string>& options) {
    const TemporaryFolder folder;
    const auto samples_file = folder.path() / "samples.json";
    auto arguments = options;
    arguments.insert(arguments.end(), {"--samples", samples_file.string()});
    run_child(program, std::move(arguments));

    std::ifstream file{samples_file};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    try {
        return program_result_from_json(text);
    } catch (const std::runtime_error& error) {
        throw std::runtime_error{program.filename().string() + ": " + error.what()};
    }
}

} // namespace velostream::bench
