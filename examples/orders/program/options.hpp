// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "velostream/base/units.hpp"

namespace orders {

/// All mock brokers, or the database, go down when this much of the input is consumed, and come back after `length`.
struct Outage {
    std::uint64_t at = 0;    ///< per cent of the lines, or a number of lines
    bool at_percent = false; ///< which of the two
    velostream::Duration length{};
};

/// The database that knows the customers' segments.
struct Lookup {
    std::optional<std::string> postgres; ///< the connection string of a server; unset: SQLite, inside this process

    const char* database() const { return postgres ? "postgres" : "sqlite"; }
};

/// What the command line asks for.
struct Options {
    std::optional<std::string> brokers; ///< unset: an embedded mock cluster
    std::string prefix;                 ///< of topics and group on a real cluster; default a run id
    bool clean = false;                 ///< delete the topics afterwards
    std::string input;                  ///< a file, or `-`
    std::optional<std::uint64_t> generate;
    std::uint64_t customers = 4'000; ///< at most `generate`; a fifth of it where that is less and none were asked for
    std::optional<std::string> write_orders;
    std::optional<Outage> outage;
    double fail_rate = 0;
    std::optional<Lookup> lookup;
    std::optional<Outage> db_outage;
    double db_fail_rate = 0;
    std::uint64_t memory_mb = 256;
    int partitions = 8;
    std::uint64_t seed = 1;
    std::optional<std::string> report;
    bool quiet = false;
};

/// `sqlite`, `postgres:host=db dbname=shop`; nothing if it is neither.
std::optional<Lookup> parse_lookup(const std::string& text);

/// `40%+3s`, `200000+500ms`; nothing if it is neither.
std::optional<Outage> parse_outage(const std::string& text);

/// At which line of the input what goes down.
struct OutageLines {
    std::optional<std::uint64_t> brokers, database;
};

/// Reads the command line. Prints help (exit code 0) or one line that says what is wrong (exit code 2) and gives the
/// exit code instead of options then.
struct ParsedOptions {
    Options options;
    std::optional<int> exit_code;
};
ParsedOptions parse_options(int argc, const char* const* argv, const std::string& default_input);

} // namespace orders
