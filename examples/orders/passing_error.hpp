// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "velostream/base/error.hpp"

namespace orders {

/// Whether to hold the line and try again. A line or total that was written twice is recognised, so an unknown outcome
/// is worth another try too.
inline bool worth_waiting_for(const velostream::Error& error) {
    using velostream::ErrorType;
    const bool may_be_done = error == ErrorType::outcome_unknown || error == ErrorType::timeout;
    return error.passes_with_time() || (may_be_done && !error.blames_record());
}

} // namespace orders
