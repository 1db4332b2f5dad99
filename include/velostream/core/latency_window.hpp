// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>

#include "velostream/base/units.hpp"

namespace velostream {

/// How many calls ran beside the one that ended, measured by the limit.
enum class Crowding : std::uint8_t {
    quiet, ///< at most a quarter of the limit: they did not wait for each other
    busy,
    full, ///< no room for another one: a higher limit would have been used
};

inline Crowding crowding_of(std::uint32_t in_use, std::uint32_t limit) noexcept {
    if (in_use >= limit) return Crowding::full;
    return in_use <= limit / 4 ? Crowding::quiet : Crowding::busy;
}

/// The latencies of calls that began under one limit, in one word.
///
/// What is kept is the mean of their binary logarithms, each exact to a tenth of a percent: a few calls that took very
/// long say that few calls took long. Below a microsecond all latencies are equal.
///
/// Threads: safe, lock-free, except for `begin`: one at a time.
template <template <class> class Atomic = std::atomic>
class LatencyWindow {
  public:
    /// Of the limit that holds now. Begins anew after four million limits.
    using Epoch = std::uint32_t;

    /// The most that fit.
    static constexpr std::uint32_t capacity = 4000;

    enum class Recorded : std::uint8_t {
        counted,
        complete, ///< there are enough now, or were before it: somebody should judge them and begin another window
        late,     ///< it began under another limit, and was not counted
    };

    struct Samples {
        std::uint32_t count = 0;
        double mean_ns = 0;                  ///< only of some
        Crowding crowding = Crowding::quiet; ///< the most that was seen
    };

    LatencyWindow() noexcept : word_(0) {}

    /// acquire: whoever begins a call in this epoch sees the limit that it belongs to.
    Epoch epoch() const noexcept { return epoch(word_.load(std::memory_order_acquire)); }

    /// Counts a call that began in `epoch`, unless there are `needed` already.
    Recorded record(Epoch of, Duration latency, Crowding crowding, std::uint32_t needed) noexcept {
        auto seen = word_.load(std::memory_order_relaxed);
        const auto addition = one + code(latency);
        const auto flags = crowding == Crowding::full ? full_bit | busy_bit : crowding == Crowding::busy ? busy_bit : 0;
        for (;;) {
            if (epoch(seen) != of) return Recorded::late;
            if (count(seen) >= needed) return Recorded::complete;
            // relaxed: counts only; who judges them has a lock.
            if (word_.compare_exchange_weak(seen, (seen + addition) | flags, std::memory_order_relaxed,
                                            std::memory_order_relaxed))
                return count(seen) + 1 >= needed ? Recorded::complete : Recorded::counted;
        }
    }

    Samples samples() const noexcept {
        const auto word = word_.load(std::memory_order_relaxed);
        Samples samples{.count = count(word)};
        if (samples.count > 0) samples.mean_ns = nanoseconds(static_cast<double>(word & sum_mask) / samples.count);
        samples.crowding = (word & full_bit) != 0   ? Crowding::full
                           : (word & busy_bit) != 0 ? Crowding::busy
                                                    : Crowding::quiet;
        return samples;
    }

    /// Forgets what was counted; from now on calls count that began in `epoch`. release: see `epoch()`.
    void begin(Epoch next) noexcept { word_.store((next & epoch_mask) << epoch_shift, std::memory_order_release); }

    static Epoch after(Epoch epoch) noexcept { return static_cast<Epoch>((epoch + 1) & epoch_mask); }

  private:
    // From the lowest bit: 28 for the sum of logarithms, 12 for their count, two for the crowding, 22 for the epoch.
    // No sum overflows: 4000 × 65535 < 2²⁸.
    static constexpr unsigned count_shift = 28, epoch_shift = 42, fraction_bits = 10;
    static constexpr std::uint64_t one = std::uint64_t{1} << count_shift;
    static constexpr std::uint64_t sum_mask = one - 1, count_mask = 0xfff, epoch_mask = 0x3f'ffff;
    static constexpr std::uint64_t busy_bit = std::uint64_t{1} << 40, full_bit = std::uint64_t{1} << 41;
    static constexpr Duration shortest{1000};

    static Epoch epoch(std::uint64_t word) noexcept { return static_cast<Epoch>(word >> epoch_shift); }
    static std::uint32_t count(std::uint64_t word) noexcept {
        return static_cast<std::uint32_t>((word >> count_shift) & count_mask);
    }

    // The logarithm, straight between powers of two, in 1024ths.
    static std::uint64_t code(Duration latency) noexcept {
        const auto value = static_cast<std::uint64_t>(std::max(latency, shortest).count());
        const auto power = static_cast<unsigned>(std::bit_width(value)) - 1;
        const auto fraction = (value << (63 - power) << 1) >> (64 - fraction_bits);
        return (std::uint64_t{power} << fraction_bits) | fraction;
    }
    static double nanoseconds(double code) noexcept {
        const auto logarithm = code / (1 << fraction_bits);
        const auto power = std::floor(logarithm);
        return std::ldexp(1 + (logarithm - power), static_cast<int>(power));
    }

    Atomic<std::uint64_t> word_;
};

} // namespace velostream
