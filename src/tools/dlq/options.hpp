// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/dlq/filter.hpp"
#include "tools/dlq/grouping.hpp"
#include "tools/dlq/letters.hpp"

namespace velostream::dlq {

enum class Command : std::uint8_t { list, show, redrive, export_letters, import_letters, purge };

/// What the command line asks for. Of a command only its own options are set.
struct Options {
    Command command = Command::list;
    Source source; ///< of `import`: where the letters go; of `redrive` from a spool, its cluster is where they go
    Filter filter;
    bool json = false;

    GroupBy by = GroupBy::fingerprint;

    std::vector<std::string> letters; ///< places or ids
    bool full = false;
    std::vector<std::string> programs; ///< files that frames of stack traces are looked up in

    std::optional<std::string> to;
    std::optional<std::uint64_t> rate; ///< a second
    std::uint64_t canary = 10;
    std::optional<std::uint64_t> most;
    std::uint32_t max_redrives = 3;
    bool dry_run = false;
    std::string group; ///< the default one where none was given

    std::string file; ///< `-` for a standard stream

    bool all = false;
    std::vector<Place> before; ///< of each partition all before that offset
    bool yes = false;
};

/// Reads the command line. Prints help (exit code 0) or one line that says what is wrong (exit code 2), and gives the
/// exit code instead of options then. `now` is what spans of time are counted back from.
struct ParsedOptions {
    Options options;
    std::optional<int> exit_code;
};
ParsedOptions parse_options(int argc, const char* const* argv, WallTime now);

} // namespace velostream::dlq
