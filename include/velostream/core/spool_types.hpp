// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "velostream/base/units.hpp"

namespace velostream {

/// What lies in a spool, and what was found wrong there.
struct SpoolStats {
    std::uint64_t waiting = 0;  ///< payloads that are not done
    Bytes size = 0;             ///< of all files
    std::uint64_t segments = 0; ///< files
    /// Bytes behind the last whole frame of the file that was written last: what was being written when the process or
    /// the machine ended, and nobody was told to be safe.
    Bytes torn = 0;
    /// Bytes anywhere else that are no frame any more. Their files are kept aside, with `.bad` behind their names, when
    /// all else in them is done.
    Bytes corrupt = 0;
    std::uint64_t failed_writes = 0; ///< batches that the disk did not take
};

/// A payload and its number in the spool. Numbers rise, and none comes twice.
struct SpoolEntry {
    std::uint64_t sequence = 0;
    std::string payload;
};

/// How far somebody has read who reads a spool in order.
class SpoolCursor {
  public:
    /// Begins behind number `after`.
    explicit SpoolCursor(std::uint64_t after = 0) noexcept : after_(after) {}

    /// The number of the last payload that was read.
    std::uint64_t after() const noexcept { return after_; }

  private:
    friend class SpoolLog;

    std::uint64_t after_;
    std::uint64_t segment_ = 0; // the file it came to, by its first number; 0 if it has not read yet
    Bytes at_ = 0;              // where in that
};

/// Payloads that were read, and where to go on.
struct SpoolBatch {
    std::vector<SpoolEntry> entries;
    SpoolCursor next;
};

} // namespace velostream
