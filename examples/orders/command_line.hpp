// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace orders {

/// One thing that can be said on a command line: `--name VALUE`, `--name=VALUE`, or `--name` alone.
struct CommandOption {
    std::string name;  ///< `--seed`
    std::string value; ///< what stands for its value in the help: `N`; empty if it takes none
    std::string help;  ///< what it does
    std::string legal; ///< what values there are, for help and errors: `a whole number from 1 to 9`; empty: any text
    std::function<bool(std::string_view)> take; ///< keeps the value; false if there is no such value
};

/// What a command line says, or what is wrong with it.
struct CommandLine {
    std::set<std::string> given; ///< the options that were there
    bool wants_help = false;     ///< `-h` or `--help` was there; nothing else counts then
    std::string problem;         ///< one line; empty if all is well
};

/// Hands every argument to its option. The first wrong one ends it: unknown, given twice, without a value or with one
/// that is not legal.
CommandLine read_command_line(std::span<const char* const> arguments, const std::vector<CommandOption>& options);

/// The options, one after another, with what is legal.
std::string help_for(const std::vector<CommandOption>& options);

} // namespace orders
