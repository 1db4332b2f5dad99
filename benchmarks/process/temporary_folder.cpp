// SPDX-License-Identifier: Apache-2.0
#include "process/temporary_folder.hpp"

#include <stdlib.h> // mkdtemp

#include <stdexcept>
#include <system_error>

namespace velostream::bench {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
    auto pattern = (fs::temp_directory_path() / "velostream_bench_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
        throw std::runtime_error{"cannot make a temporary folder in " + fs::temp_directory_path().string()};
    path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

} // namespace velostream::bench
