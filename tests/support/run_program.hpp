// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"

namespace velostream {

/// What a program printed, and how it ended.
struct ProgramRun {
    int exit_code = -1; ///< -1 if it was killed or could not be started
    std::string output, error;
};

/// All bytes of a file.
inline std::string content_of(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream{path, std::ios::binary}.rdbuf();
    return bytes.str();
}

/// Runs a program to its end, with this standard input: as a user's shell does, but without a terminal.
inline ProgramRun run_program(const std::string& program, const std::vector<std::string>& arguments,
                              const std::string& input = {}) {
    const TemporaryFolder streams;
    std::ofstream{streams / "input", std::ios::binary} << input;
    const auto quoted = [](const std::string& word) {
        std::string text{"'"};
        for (const char c : word) text += c == '\'' ? std::string{"'\\''"} : std::string{c};
        return text + "'";
    };
    auto command = quoted(program);
    for (const auto& argument : arguments) command += ' ' + quoted(argument);
    command += " <" + quoted(streams / "input") + " >" + quoted(streams / "output") + " 2>" + quoted(streams / "error");
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(streams / "output"),
            content_of(streams / "error")};
}

} // namespace velostream
