// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/observer.hpp"

namespace velostream {

std::string_view to_string(CircuitState state) noexcept {
    switch (state) {
        case CircuitState::closed:
            return "closed";
        case CircuitState::open:
            return "open";
        case CircuitState::half_open:
            return "half_open";
        case CircuitState::forced_open:
            return "forced_open";
        case CircuitState::disabled:
            return "disabled";
        case CircuitState::metrics_only:
            return "metrics_only";
    }
    return "unknown";
}

std::string_view to_string(PressureLevel level) noexcept {
    switch (level) {
        case PressureLevel::normal:
            return "normal";
        case PressureLevel::high:
            return "high";
        case PressureLevel::critical:
            return "critical";
    }
    return "unknown";
}

} // namespace velostream
