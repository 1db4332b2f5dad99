// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/config/validate.hpp"

namespace velostream::sqlite {

/// How a transaction is made safe against a crash.
enum class JournalMode : std::uint8_t {
    wal,      ///< a log beside the file: readers and the writer do not wait for each other
    rollback, ///< a copy of what is overwritten: for file systems that cannot share memory, such as those of a network
};

/// When a commit waits for the disk. Whatever it is, a process that is killed loses nothing; it is the power's failure
/// that counts.
enum class Synchronous : std::uint8_t {
    off,    ///< never: the database may be damaged
    normal, ///< in WAL mode at checkpoints only: the newest commits may be gone, the database is whole
    full,   ///< at every commit: what is committed stays
    extra,  ///< also for the folder
};

/// A database, how each connection treats it, and who does the work.
struct ConnectionConfig {
    /// The file; made where there is none. Empty (the default): a database in memory, one for all connections of one
    /// `Connections`, which ends with it. It has no WAL.
    std::string path = {};

    /// Nothing is written, nor is a file made. The journal mode is what it is then. Default false.
    bool read_only = false;

    /// Default WAL.
    JournalMode journal_mode = JournalMode::wal;

    /// Default normal.
    Synchronous synchronous = Synchronous::normal;

    /// Foreign keys are enforced. Default true; SQLite's own is false.
    bool foreign_keys = true;

    /// How long a call waits for others' locks, at most; its deadline ends it earlier. Legal: 0 or more. Default 5 s.
    Duration busy_timeout = std::chrono::seconds{5};

    /// Prepared statements that each connection keeps, the last recently used go first. Legal: 0 to 10 000. Default 64.
    std::size_t statement_cache_size = 64;

    /// Threads that all connections share; they are started when they are needed. Calls that wait for a lock need none.
    /// Legal: 1 to 64. Default 2: more where disks are slow, or queries are long and processors idle.
    std::size_t threads = 2;

    /// Calls of all connections that are under way or wait for a thread. Legal: 1 and more. Default 1024.
    std::size_t max_pending_calls = 1024;

    /// What the rows of one result may take in memory. Legal: 1 and more. Default 64 MiB.
    Bytes max_result_bytes = 64 * mebibyte;
};

/// All problems of a config, as for the other configs.
std::vector<ConfigProblem> validate(const ConnectionConfig& config);

} // namespace velostream::sqlite
