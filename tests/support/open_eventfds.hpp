// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace velostream::testing {

// How many descriptors of this process are eventfds that have none of these flags.
inline std::size_t open_eventfds_without(int flags) {
    std::size_t count = 0;
    for (const auto& descriptor : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code is_closed; // that of this very loop
        if (std::filesystem::read_symlink(descriptor, is_closed) != "anon_inode:[eventfd]") continue;
        if ((::fcntl(std::stoi(descriptor.path().filename()), F_GETFD) & flags) == 0) ++count;
    }
    return count;
}
// How many of them are eventfds.
inline std::size_t open_eventfds() {
    return open_eventfds_without(0);
}
// How many of those a program has that this process becomes.
inline std::size_t inherited_eventfds() {
    return open_eventfds_without(FD_CLOEXEC);
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
