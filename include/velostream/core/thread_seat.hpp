// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace velostream {

/// How many seats there are.
inline constexpr std::size_t thread_seats = 16;

namespace detail {

// A constant initialiser needs no guard.
inline constinit thread_local std::size_t own_thread_seat = thread_seats;
inline constinit thread_local bool sits_alone = false;

void take_thread_seat() noexcept;

} // namespace detail

/// This thread's seat, below `thread_seats`: what threads write often is kept once for each seat, so that they seldom
/// write to the same place. Up to `thread_seats` threads at a time have a seat each, whichever came and went before;
/// more share them evenly.
///
/// Threads: each keeps the same seat until it ends. Lock-free.
inline std::size_t thread_seat() noexcept {
    if (detail::own_thread_seat == thread_seats) [[unlikely]]
        detail::take_thread_seat();
    return detail::own_thread_seat;
}

/// Whether this thread came to a seat where nobody sat, so that it may keep a place for it by plain loads and stores:
/// who comes to the same seat later is not alone there, and who is alone there after this one has left sees all that
/// it wrote. To be asked after `thread_seat`, and each time: what a thread does while it ends it no longer does alone.
inline bool sits_alone() noexcept {
    return detail::sits_alone;
}

} // namespace velostream
