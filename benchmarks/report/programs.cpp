// SPDX-License-Identifier: Apache-2.0
#include "report/programs.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

namespace velostream::bench {

namespace fs = std::filesystem;

namespace {

/// A folder for one file that goes when the object goes.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        auto pattern = (fs::temp_directory_path() / "velostream_bench_XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr)
            throw std::runtime_error{"cannot make a temporary folder in " + fs::temp_directory_path().string()};
        path_ = pattern;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

/// Empty if the program ended well, otherwise how it ended.
std::string run_to_end(const fs::path& program, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program.string());
    std::vector<char*> pointers;
    for (auto& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);

    pid_t child = 0;
    if (const int error = ::posix_spawn(&child, program.c_str(), nullptr, nullptr, pointers.data(), environ))
        return "cannot be started: " + std::system_category().message(error);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) return "failed with exit code " + std::to_string(WEXITSTATUS(status));
    return {};
}

} // namespace

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

    const auto name = program.filename().string();
    if (const auto failure = run_to_end(program, std::move(arguments)); !failure.empty())
        throw std::runtime_error{name + " " + failure};
    std::ifstream file{samples_file};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    try {
        return program_result_from_json(text);
    } catch (const std::runtime_error& error) {
        throw std::runtime_error{name + " handed over something unreadable: " + error.what()};
    }
}

} // namespace velostream::bench
