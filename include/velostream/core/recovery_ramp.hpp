// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "velostream/base/observer.hpp"

namespace velostream {

/// How much work may be in progress that needs a service behind a circuit breaker: all of it while the circuit is
/// closed, nothing while it is open, one at a time while it is half-open. After that as TCP begins (slow start): one,
/// and twice as much each time as much has gone well, so that a service which has just come back is not run over. What
/// goes badly on the way up halves it; at full speed single failures change nothing, that is the breaker's to judge.
///
/// Threads: one at a time.
class RecoveryRamp {
  public:
    /// Legal: ≥ 1.
    explicit RecoveryRamp(std::size_t most) noexcept : most_(most), step_(most) {}

    /// How much may be in progress now. Ask at each start: what it sees is what it knows of the circuit.
    std::size_t allowed(CircuitState state) noexcept {
        if (is_shut(state) || state == CircuitState::half_open) begin_again();
        return is_shut(state) ? 0 : step_;
    }
    void on_success() noexcept {
        if (step_ == most_ || ++good_ < step_) return;
        good_ = 0;
        step_ = step_ > most_ / 2 ? most_ : step_ * 2;
    }
    void on_failure() noexcept {
        if (step_ == most_) return;
        good_ = 0;
        step_ = std::max<std::size_t>(step_ / 2, 1);
    }

    static bool is_shut(CircuitState state) noexcept {
        return state == CircuitState::open || state == CircuitState::forced_open;
    }

  private:
    void begin_again() noexcept {
        step_ = 1;
        good_ = 0;
    }

    std::size_t most_;
    std::size_t step_;
    std::size_t good_ = 0; // since the last step
};

} // namespace velostream
