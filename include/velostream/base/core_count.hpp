// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace velostream {

/// How many threads this machine runs at once, at least 1.
std::size_t core_count() noexcept;

} // namespace velostream
