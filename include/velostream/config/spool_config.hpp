// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "velostream/base/units.hpp"

namespace velostream {

/// Where a spool lies, and what it may take of its disk.
struct SpoolConfig {
    /// The folder, for one process at a time. Made if there is none (mode 0700). Legal: not empty.
    std::filesystem::path directory = {};

    /// Of all files together. Legal: 1 MiB and more. Default 1 GiB.
    Bytes max_size = Bytes{1} << 30;

    /// The part of the file system that stays free, whoever fills it. Legal: 0 to below 1. Default 0.05.
    double min_free_disk = 0.05;

    /// When a new file is begun. One that is done with is removed whole. Legal: 4 KiB and more. Default 64 MiB.
    Bytes segment_size = Bytes{64} << 20;
};

} // namespace velostream
