// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/backoff_random.hpp"

#include <random>

namespace velostream {

namespace {

std::uint64_t random_seed() noexcept {
    try {
        std::random_device device;
        return std::uint64_t{device()} << 32 | device();
    } catch (...) {
        // No source of entropy: at least the instances of one process differ.
        static std::atomic<std::uint64_t> instances{0};
        return instances.fetch_add(1, std::memory_order_relaxed);
    }
}

} // namespace

BackoffRandom::BackoffRandom() noexcept : BackoffRandom(random_seed()) {}

} // namespace velostream
