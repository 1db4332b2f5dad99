// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "velostream/base/observer.hpp"

namespace orders {

struct BreakerTransition {
    std::chrono::nanoseconds at; ///< since the start of the run
    velostream::CircuitState from, to;
    std::string why;
};

/// What the breaker and the retries around one kind of call did.
struct GuardFigures {
    std::uint64_t retries = 0; ///< further tries
    std::uint64_t opened = 0;
    std::vector<BreakerTransition> transitions;
    velostream::CircuitState breaker = velostream::CircuitState::closed;
};

/// Counts it, but for the state, which is the breaker's own to tell.
///
/// Threads: that of the calls, one. Lifetime: `figures` must outlive this object.
class GuardEvents final : public velostream::Observer {
  public:
    explicit GuardEvents(GuardFigures& figures) : figures_(figures) {}

    void on_circuit_state_changed(const velostream::CircuitStateChanged& change) noexcept override {
        const auto at = std::chrono::steady_clock::now() - began_;
        figures_.transitions.push_back({at, change.from, change.to, std::string{change.why}});
        if (change.to == velostream::CircuitState::open) ++figures_.opened;
    }
    void on_retry_scheduled(const velostream::RetryScheduled&) noexcept override { ++figures_.retries; }

  private:
    GuardFigures& figures_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

} // namespace orders
