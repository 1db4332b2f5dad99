// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace velostream {

/// How many seats there are.
inline constexpr std::size_t thread_seats = 16;

namespace detail {

// A constant initialiser needs no guard.
inline constinit thread_local std::size_t own_thread_seat = thread_seats;

void take_thread_seat() noexcept;

} // namespace detail

/// This thread's seat, below `thread_seats`: what threads write often is kept once for each seat, so that they seldom
/// write to the same place. Up to `thread_seats` threads at a time have a seat each, whichever came and went before;
/// more share them evenly.
///
/// Threads: each keeps the same seat until it ends.
inline std::size_t thread_seat() noexcept {
    if (detail::own_thread_seat == thread_seats) [[unlikely]]
        detail::take_thread_seat();
    return detail::own_thread_seat;
}

} // namespace velostream
