// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spool_files.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/spool_frame.hpp"

namespace velostream::dlq {

/// A file of a spool, as it was read.
class Segment {
  public:
    Segment(std::string name, std::string_view bytes);

    const std::string& name() const noexcept { return name_; }
    /// Valid as long as the segment, wherever it is moved.
    const std::vector<spool_format::Frame>& frames() const noexcept { return frames_; }
    /// Bytes between frames that are none.
    Bytes damaged() const noexcept { return damaged_; }
    /// The same behind the last frame: damage, or what is just being written.
    Bytes torn() const noexcept { return torn_; }
    std::string_view bytes() const noexcept { return {bytes_.data(), bytes_.size()}; }

  private:
    std::string name_;
    std::vector<char> bytes_;
    std::vector<spool_format::Frame> frames_;
    Bytes damaged_ = 0, torn_ = 0;
};

/// Bytes of a spool's file that are damaged. The end of the last file is not: a program was just writing it.
Bytes damage_of(const Segment& segment, bool is_last) noexcept;

/// Those of the names that are files of letters, in the order of their letters.
std::vector<std::string> segment_names(std::vector<std::string> names);

/// The files of a spool, only to be read: whoever has it goes on undisturbed.
///
/// Errors: the folder cannot be read.
Result<std::vector<std::string>> segments_of(const std::filesystem::path& spool);
/// Nothing if it is not there any more: all its letters are done.
Result<std::optional<Segment>> read_segment(const std::filesystem::path& spool, const std::string& name);

/// A spool that nobody else has, so that letters can be taken away.
class LockedSpool {
  public:
    /// Errors: there is no such folder; another process has it, which is named.
    static Result<LockedSpool> open(const std::filesystem::path& spool);

    Result<std::vector<std::string>> segments();
    Result<Segment> read(const std::string& name);
    /// Of a file only these frames stay: it is replaced by one with them, on the disk when this has returned, or
    /// removed if there are none. Damage goes with it.
    Result<void> keep(const Segment& segment, std::span<const spool_format::Frame> frames);
    /// A copy of a damaged file stays, as `NAME.bad`, whatever becomes of the file: as the spool itself does it.
    Result<void> set_aside(const Segment& segment);

  private:
    explicit LockedSpool(std::unique_ptr<SpoolFiles> files) noexcept : files_(std::move(files)) {}
    Result<void> replace(const std::string& name, std::string_view bytes);

    std::unique_ptr<SpoolFiles> files_;
};

} // namespace velostream::dlq
