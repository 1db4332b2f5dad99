// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/result.hpp"

namespace velostream {

/// A file of a spool's folder. Closed when destroyed.
///
/// Errors: each names the file; after an error of `sync` nobody knows what is on the disk.
class SpoolFile {
  public:
    virtual ~SpoolFile() = default;

    /// Appends `bytes`; how many of them, which may be fewer.
    virtual Result<std::size_t> write(std::string_view bytes) = 0;
    /// What was written is on the disk when this has returned, also if the power fails then. An error if the file has
    /// been removed: nobody would find it there.
    virtual Result<void> sync() = 0;
    virtual Result<void> truncate(std::uint64_t size) = 0;
    virtual Result<std::uint64_t> size() = 0;
    /// From `at` on, up to `most` bytes, fewer only at the end of the file.
    virtual Result<std::string> read(std::uint64_t at, std::size_t most) = 0;
};

/// The folder of a spool: all that it ever asks of the operating system.
class SpoolFiles {
  public:
    struct Space {
        std::uint64_t free = 0;
        std::uint64_t total = 0;
    };

    virtual ~SpoolFiles() = default;

    /// Names of what is there, in no order.
    virtual Result<std::vector<std::string>> names() = 0;
    /// A new and empty file, for the owner only (mode 0600). An error if there is one of that name.
    virtual Result<std::unique_ptr<SpoolFile>> create(const std::string& name) = 0;
    /// One that is there, to read and to append.
    virtual Result<std::unique_ptr<SpoolFile>> open(const std::string& name) = 0;
    virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
    virtual Result<void> remove(const std::string& name) = 0;
    /// Which files there are, and how they are called, is on the disk when this has returned.
    virtual Result<void> sync() = 0;
    /// Of the file system.
    virtual Result<Space> space() = 0;
};

/// The folder at `path`, which is made where there is none (mode 0700), for this process alone as long as the object
/// lives: an error if another one has it, which is named. That it is there is on the disk then, and those above it that
/// had to be made: an error that names the folder if its parent cannot be synced.
Result<std::unique_ptr<SpoolFiles>> open_spool_folder(const std::filesystem::path& path);

} // namespace velostream
