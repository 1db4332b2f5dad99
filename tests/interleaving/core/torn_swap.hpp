// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "velostream/testing/scheduled_atomic.hpp"

namespace velostream::testing {

/// A mutant of every algorithm that compares and swaps: it looks and writes in two steps.
template <class T>
struct TornSwap : ScheduledAtomic<T> {
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order, std::memory_order) {
        const auto seen = this->load();
        if (seen != expected) return expected = seen, false;
        this->store(desired);
        return true;
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        return compare_exchange_strong(expected, desired, success, failure);
    }
};

} // namespace velostream::testing
