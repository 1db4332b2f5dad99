// SPDX-License-Identifier: Apache-2.0
// What `counting_new.hpp` counts, and how to let it fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace velostream::testing {

// How often this thread took memory.
inline thread_local std::uint64_t allocations = 0;
// After how many more requests of this thread one fails; none does while it is negative.
inline thread_local std::int64_t allocations_until_failure = -1;
// Smaller requests neither fail nor count towards that.
inline thread_local std::size_t smallest_that_fails = 0;
// How much more often this thread called operator new than operator delete.
inline thread_local std::int64_t held = 0;

// Calls `attempt()` again and again, each time with a later request for memory that fails, until none does; after each
// of them `check()`, in which nothing fails. Returns how often one failed.
template <class Attempt, class Check>
int with_each_request_failing(Attempt attempt, Check check) {
    for (int failures = 0;; ++failures) {
        allocations_until_failure = failures;
        attempt();
        const bool has_failed = std::exchange(allocations_until_failure, -1) < 0;
        check();
        if (!has_failed) return failures;
    }
}

} // namespace velostream::testing
