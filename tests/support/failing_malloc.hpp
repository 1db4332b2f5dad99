// SPDX-License-Identifier: Apache-2.0
// Replaces the program's malloc with one that fails as `operator new` does, uncounted: accounted memory asks it
// directly. To be included by the source that includes `counting_new.hpp`, and only where nobody else's code cannot do
// without.
#pragma once

#include "support/counting_new.hpp"

extern "C" [[gnu::visibility("default")]] void* malloc(std::size_t size) noexcept {
    return velostream::testing::this_request_fails(size) ? nullptr : __libc_malloc(size);
}
