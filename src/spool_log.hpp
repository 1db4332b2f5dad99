// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spool_files.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/spool_frame.hpp"
#include "velostream/core/spool_types.hpp"

namespace velostream {

/// What a spool may take of its disk.
struct SpoolLimits {
    Bytes segment_size = Bytes{64} << 20; ///< of one file; one frame that is larger has a file of its own
    Bytes max_size = Bytes{1} << 30;      ///< of all files together
    double min_free_disk = 0.05;          ///< of the file system, which nothing is written into
};

/// Payloads on a disk, in the order in which they came, until somebody has done with them.
///
/// They lie in files, named by the number of their first frame (`spool_frame.hpp` has the format). A file is written by
/// one process only, and never again after a write or sync that failed, since then nobody knows what is on the disk;
/// it goes when all its frames are done. So a process that ends leaves a folder from which the next one reads every
/// payload that was ever acknowledged and is not done, besides some that were done, and perhaps some that failed.
///
/// Threads: one at a time. Blocks, on the disk.
class SpoolLog {
  public:
    /// Reads through what a process before has left.
    ///
    /// Errors: those of the files. A torn end may have been cut off by then, and a file without a frame removed.
    static Result<SpoolLog> open(std::unique_ptr<SpoolFiles> files, const SpoolLimits& limits);

    SpoolLog(SpoolLog&&) noexcept = default;
    SpoolLog& operator=(SpoolLog&&) = delete;

    /// Whether there may ever be room for a payload: `std::errc::message_size` for one that is larger than a frame can
    /// carry, `Errc::disk_quota_exceeded` for one that is larger than the whole spool may be.
    Result<void> check_payload(Bytes payload) const;

    /// Success if `payload_bytes` in `count` payloads may be appended now; else `Errc::disk_quota_exceeded`, which says
    /// what is in the way.
    Result<void> check_room(std::size_t count, Bytes payload_bytes);

    /// All of them, or none: success means that they are on the disk, also if the power fails then. Returns the number
    /// of the first; the others follow.
    ///
    /// Errors: as `check_payload` and `check_room`; those of the disk, and then some may lie there nevertheless, to be
    ///         found by the next process.
    Result<std::uint64_t> append(std::span<const std::string_view> payloads);

    /// Those that come behind `cursor` and are not more than `most` bytes, but at least one if there is any, done or
    /// not; `cursor` goes behind them. None if that was the last. A cursor belongs to one log.
    Result<std::vector<SpoolEntry>> read(SpoolCursor& cursor, Bytes most);

    /// The payload is not needed any more.
    ///
    /// Errors: those of removing a file, which is tried again with the next one.
    Result<void> done(std::uint64_t sequence);

    SpoolStats get_stats() const noexcept;

  private:
    struct Segment {
        std::string name;
        std::unique_ptr<SpoolFile> file;
        Bytes size = 0; // up to the end of the last frame that counts
        std::uint64_t first = 0, last = 0;
        std::vector<bool> settled = {}; // from `first` on: done, or not there, or no more
        std::uint64_t waiting = 0;      // those that are not
        bool is_corrupt = false;
    };
    SpoolLog(std::unique_ptr<SpoolFiles> files, const SpoolLimits& limits)
        : files_(std::move(files)), limits_(limits) {}

    Result<void> recover();
    Result<void> recover(Segment& segment, std::optional<std::uint64_t> first_of_next);
    Result<void> begin_segment(std::uint64_t first);
    Result<void> write(std::string_view frames);
    void give_up_segment() noexcept;
    static void settle(Segment& segment, std::uint64_t sequence);
    static bool settle_missing(Segment& segment, std::uint64_t after, std::uint64_t before);
    Result<void> remove_done();
    std::deque<Segment>::iterator segment_of(std::uint64_t sequence);

    std::unique_ptr<SpoolFiles> files_;
    SpoolLimits limits_;
    std::deque<Segment> segments_; // in order of their numbers
    bool is_writing_ = false;      // into the last of them
    std::uint64_t next_ = 1;
    std::string buffer_;
    SpoolStats stats_;
};

} // namespace velostream
