// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "velostream/base/units.hpp"

namespace velostream {

/// When a call that takes long is made a second time, beside the first.
struct HedgeConfig {
    /// How long an attempt may take before the next one is started. Legal: ≥ 0. Default 100 ms. Take what 95 of 100
    /// calls stay below: then one call in twenty is made twice.
    Duration delay = std::chrono::milliseconds{100};

    /// Attempts beside the first. Legal: 1 to 8. Default 1.
    std::uint32_t max_hedges = 1;
};

} // namespace velostream
