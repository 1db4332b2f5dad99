// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {

/// `ManualTime` whose coarse clock goes on in steps of 30 ms.
struct SteppingTime : ManualTime {
    static constexpr Duration step = std::chrono::milliseconds{30};

    TimePoint coarse_now() const noexcept { return now() - now().time_since_epoch() % step; }
};
static_assert(TimeSource<SteppingTime>);

} // namespace velostream::testing
