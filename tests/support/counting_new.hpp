// SPDX-License-Identifier: Apache-2.0
// Replaces the program's operator new and delete, and its aligned_alloc, from which Asio takes the frames of
// coroutines, with ones that count. To be included by one source of a program, and not under a sanitizer: that brings
// its own, and reports memory that goes from one to the other.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#include "support/allocation_count.hpp"

namespace velostream::testing {

inline bool this_request_fails(std::size_t size) {
    return allocations_until_failure >= 0 && size >= smallest_that_fails && allocations_until_failure-- == 0;
}

} // namespace velostream::testing

extern "C" void* __libc_malloc(std::size_t size);

void* operator new(std::size_t size) {
    void* memory = velostream::testing::this_request_fails(size) ? nullptr : __libc_malloc(size ? size : 1);
    if (!memory) throw std::bad_alloc{};
    ++velostream::testing::allocations;
    ++velostream::testing::held;
    return memory;
}
void operator delete(void* memory) noexcept {
    if (memory) --velostream::testing::held;
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}
// Visible: libstdc++ calls it for operator new with an alignment. (clang would hide it.)
extern "C" [[gnu::visibility("default")]] void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    if (velostream::testing::this_request_fails(size)) return nullptr;
    ++velostream::testing::allocations;
    void* memory = nullptr;
    return ::posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}
