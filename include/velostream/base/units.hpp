// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace velostream {

/// A number of bytes. MB in a name always means MiB (1024 × 1024 bytes).
using Bytes = std::uint64_t;

/// One MiB, the unit of every `…_mb` field.
inline constexpr Bytes mebibyte = Bytes{1024} * 1024;

/// A span of time in nanoseconds; every chrono duration converts to it.
using Duration = std::chrono::nanoseconds;

/// A moment on the monotonic clock. Wall-clock time decides nothing in this library.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// `from + by`, or the last or first moment there is where that lies beyond: `Duration::max()` means never.
constexpr TimePoint saturating_add(TimePoint from, Duration by) noexcept {
    if (by > Duration::zero() && from > TimePoint::max() - by) return TimePoint::max();
    if (by < Duration::zero() && from < TimePoint::min() - by) return TimePoint::min();
    return from + by;
}

inline namespace literals {

constexpr Bytes operator""_KiB(unsigned long long count) noexcept {
    return Bytes{count} * 1024;
}
constexpr Bytes operator""_MiB(unsigned long long count) noexcept {
    return Bytes{count} * mebibyte;
}
constexpr Bytes operator""_GiB(unsigned long long count) noexcept {
    return Bytes{count} * 1024 * mebibyte;
}

} // namespace literals

} // namespace velostream
