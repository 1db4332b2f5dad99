// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "velostream/base/error.hpp"

namespace orders {

/// Whether waiting can cure it. What is wrong with the record itself, with credentials or with rights it cannot, nor
/// what a component calls fatal.
inline bool passes_with_time(const velostream::Error& error) {
    using velostream::ErrorType;
    switch (error.type()) {
        case ErrorType::network:
        case ErrorType::timeout:
        case ErrorType::service_unavailable:
        case ErrorType::outcome_unknown: // a line or total that was written twice is recognised
        case ErrorType::resource_exhausted:
            return !error.blames_record();
        default:
            return false;
    }
}

} // namespace orders
