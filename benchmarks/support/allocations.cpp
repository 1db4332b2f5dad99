// SPDX-License-Identifier: Apache-2.0
#include "support/allocations.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

// Constant-initialised, so that it may be touched before anything else of a thread runs.
constinit thread_local std::uint64_t allocations = 0;

void* allocate(std::size_t size) noexcept {
    ++allocations;
    return std::malloc(size != 0 ? size : 1);
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
    ++allocations;
    void* memory = nullptr;
    return ::posix_memalign(&memory, alignment, size != 0 ? size : alignment) == 0 ? memory : nullptr;
}

void* or_throw(void* memory) {
    if (memory == nullptr) throw std::bad_alloc{};
    return memory;
}

} // namespace

std::uint64_t velostream::bench::allocations_of_this_thread() noexcept {
    return allocations;
}

// The nothrow and array forms of the standard library call these.
void* operator new(std::size_t size) {
    return or_throw(allocate(size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return or_throw(allocate(size, static_cast<std::size_t>(alignment)));
}
// Asio takes from it the frames of coroutines, and whatever else it keeps for its next use, where none is kept.
// (Visible, since clang would hide it; a sanitizer has one of its own.)
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" [[gnu::visibility("default")]] void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    return allocate(size, alignment);
}
#endif
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
