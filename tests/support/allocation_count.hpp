// SPDX-License-Identifier: Apache-2.0
// Replaces the program's operator new and delete, and its aligned_alloc, from which Asio takes the frames of
// coroutines, with ones that count. To be included by one source of a program, and not under a sanitizer: that brings
// its own, and reports memory that goes from one to the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace velostream::testing {

// How often this thread took memory.
inline thread_local std::uint64_t allocations = 0;
// After how many more requests of this thread operator new fails, once; never while it is negative.
inline thread_local std::int64_t allocations_until_failure = -1;
// How much more often this thread called operator new than operator delete.
inline thread_local std::int64_t held = 0;

} // namespace velostream::testing

void* operator new(std::size_t size) {
    auto& until_failure = velostream::testing::allocations_until_failure;
    const bool fails = until_failure >= 0 && until_failure-- == 0;
    void* memory = fails ? nullptr : std::malloc(size ? size : 1);
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
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    ++velostream::testing::allocations;
    void* memory = nullptr;
    return ::posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}
