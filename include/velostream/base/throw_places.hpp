// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>

#include "velostream/base/stack_trace.hpp"

namespace velostream::detail {

/// Remembers for a few hundred exceptions, the last ones, where each was thrown, by its address: what
/// base/trace_throws.hpp tells. Where nobody tells anything, nothing is remembered and asking costs a load.
///
/// Threads: safe.
void note_throw(const void* exception) noexcept;
/// An exception is being made at this address: what was thrown from there before is no more.
void forget_throw(const void* exception) noexcept;
/// Empty if that is not known.
StackTrace throw_place_of(const std::exception_ptr& exception) noexcept;

} // namespace velostream::detail
