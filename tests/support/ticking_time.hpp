// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {

/// Time that goes on by a nanosecond whenever somebody looks.
struct TickingTime {
    TimePoint now() const noexcept {
        auto ticking = time;
        ticking.advance(std::chrono::nanoseconds{1});
        return ticking.now();
    }
    TimePoint coarse_now() const noexcept { return now(); }
    void sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler) {
        time.sleep_until(executor, at, std::move(handler));
    }

    ManualTime time;
};
static_assert(TimeSource<TickingTime>);

} // namespace velostream::testing
