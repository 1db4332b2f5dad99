// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace velostream::testing {

// How many descriptors of this process are eventfds.
inline std::size_t open_eventfds() {
    std::size_t count = 0;
    for (const auto& descriptor : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code is_closed; // that of this very loop
        if (std::filesystem::read_symlink(descriptor, is_closed) == "anon_inode:[eventfd]") ++count;
    }
    return count;
}

// How many descriptors all epolls of this process watch together.
inline std::size_t watched_descriptors() {
    std::size_t count = 0;
    for (const auto& descriptor : std::filesystem::directory_iterator{"/proc/self/fdinfo"}) {
        std::ifstream info{descriptor.path()};
        for (std::string line; std::getline(info, line);)
            if (line.starts_with("tfd:")) ++count;
    }
    return count;
}

} // namespace velostream::testing
