// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Included by one source file of a program, and only one, this makes every exception of the program remember where it
/// was thrown: `Error::from_exception` takes it along, and a dead letter's stack trace begins with it.
///
/// How: it defines the two functions of the C++ ABI that each `throw` calls, for the program and all its shared
/// libraries, and goes on to those that the C++ runtime has. A throw costs tens of nanoseconds more, and microseconds a
/// frame the first time from a place. Only the last few hundred exceptions are remembered.
///
/// Where:   glibc, and the C++ runtime as a shared library, as is usual; else it changes nothing. A program that
///          defines these functions itself, or preloads them, cannot have it as well. What `std::make_exception_ptr`
///          makes is thrown nowhere, and has no trace.
/// Threads: safe.

#include <cstddef>
#include <cstdlib>

#include "velostream/base/throw_places.hpp"

#if defined(__GLIBC__) // which the headers above have told

#include <dlfcn.h>

extern "C" {

[[gnu::weak]] void __asan_handle_no_return(); // which AddressSanitizer, if it is there, calls in its own __cxa_throw

// Under names of ours: compilers declare those of the ABI themselves, each in its own way.
[[gnu::visibility("default")]] void* velostream_allocate_exception(std::size_t size) noexcept
    __asm__("__cxa_allocate_exception");
[[noreturn, gnu::visibility("default")]] void velostream_throw(void* exception, void* type,
                                                               void (*destroy)(void*)) __asm__("__cxa_throw");

[[gnu::used]] void* velostream_allocate_exception(std::size_t size) noexcept {
    using Function = void* (*)(std::size_t) noexcept;
    static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "__cxa_allocate_exception"));
    void* const exception = next(size);
    velostream::detail::forget_throw(exception);
    return exception;
}

[[gnu::used]] void velostream_throw(void* exception, void* type, void (*destroy)(void*)) {
    using Function = void (*)(void*, void*, void (*)(void*));
    static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "__cxa_throw"));
    velostream::detail::note_throw(exception);
    if (__asan_handle_no_return) __asan_handle_no_return();
    next(exception, type, destroy);
    std::abort(); // not reached
}

} // extern "C"

#endif
