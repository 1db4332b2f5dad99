// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/core_count.hpp"

#include <algorithm>
#include <thread>

namespace velostream {

std::size_t core_count() noexcept {
    return std::max(1u, std::thread::hardware_concurrency());
}

} // namespace velostream
