// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "velostream/base/units.hpp"

namespace velostream {

/// How many retries calls may cause altogether: in every `window` that begins with one of its tenths at most `ratio` ×
/// calls + `reserve_per_second` × seconds. A stretch of time as long that begins elsewhere may have parts of two such
/// windows, and what both allow. While a service is away it is asked, over longer times, at most 1 + `ratio` times as
/// much as usual, and the reserve.
struct RetryBudgetConfig {
    /// Retries for each call, as a fraction. Legal: 0 to 1. Default 0.1: one retry for ten calls.
    double ratio = 0.1;

    /// Retries for each second of the window, whatever the number of calls: what little traffic lives on. Legal: 0 to
    /// 1 000 000. Default 1. With 0 here and as `ratio` nothing is ever tried again.
    double reserve_per_second = 1.0;

    /// How long calls and retries are remembered, in tenths of it. Legal: 1 s to 1 h. Default 10 s. Longer lets calls
    /// of longer ago pay for a burst of retries.
    Duration window = std::chrono::seconds{10};
};

} // namespace velostream
