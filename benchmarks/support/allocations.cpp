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

void* allocate(std::size_t size, std::align_val_t alignment) noexcept {
    ++allocations;
    const auto unit = static_cast<std::size_t>(alignment);
    const auto whole_units = (size + unit - 1) / unit * unit; // what aligned_alloc asks for
    return std::aligned_alloc(unit, whole_units != 0 ? whole_units : unit);
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
    return or_throw(allocate(size, alignment));
}
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
