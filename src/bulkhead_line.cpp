// SPDX-License-Identifier: Apache-2.0
#include "velostream/bulkhead_line.hpp"

#include <chrono>
#include <new>
#include <string>

#include "velostream/config/validate.hpp"

namespace velostream::detail {

Error::SharedText why_bulkhead_full(std::size_t max_concurrent, std::size_t max_waiting) {
    return Error::SharedText{"max_concurrent " + std::to_string(max_concurrent) + ", max_waiting " +
                             std::to_string(max_waiting)};
}

Error bulkhead_timed_out(Duration waited, const BulkheadStats& stats) noexcept {
    try {
        const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(waited).count();
        return {Errc::bulkhead_full, "waited " + std::to_string(milliseconds) + " ms with " +
                                         std::to_string(stats.in_use) + " of " + std::to_string(stats.max_concurrent) +
                                         " calls running and " + std::to_string(stats.waiting) + " waiting"};
    } catch (const std::bad_alloc&) { // the wait is over all the same
        return Errc::bulkhead_full;
    }
}

void check_max_concurrent(std::size_t permits) {
    throw_if_any(validate(BulkheadConfig{.max_concurrent = permits}));
}

} // namespace velostream::detail
