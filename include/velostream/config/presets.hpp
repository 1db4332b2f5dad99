// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "velostream/config/streaming_config.hpp"

namespace velostream::presets {

/// Generous limits, a patient breaker, aggressive retries: 16 GiB, 2 000 connections, 30 days of dead letters.
StreamingConfig production();

/// 1 GiB, 100 connections, a tolerant breaker and short fixed retries for quick feedback.
StreamingConfig development();

/// Default limits with every debug and log flag on.
StreamingConfig debug();

} // namespace velostream::presets
