// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace velostream::bench {

/// A folder of our own that goes, with all that is in it, when the object goes.
class TemporaryFolder {
  public:
    /// Throws `std::runtime_error` if there is no place for one.
    TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder();

    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

} // namespace velostream::bench
