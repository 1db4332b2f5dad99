// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "tools/dlq/shown.hpp"

namespace velostream::dlq {

/// `1 letter`, `2 letters`
inline std::string counted(std::uint64_t count, const std::string& thing) {
    return grouped(count) + ' ' + thing + (count == 1 ? "" : "s");
}

} // namespace velostream::dlq
