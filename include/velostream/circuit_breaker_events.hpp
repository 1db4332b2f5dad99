// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/observer.hpp"
#include "velostream/core/breaker_report.hpp"
#include "velostream/core/current_observer.hpp"

namespace velostream::detail {

// What a circuit breaker tells the world: refusals, changes of state, and why.
//
// Threads: safe. Nobody is called under the lock.
class CircuitBreakerEvents {
  public:
    CircuitBreakerEvents(std::string name, const CircuitBreakerConfig& config, std::shared_ptr<Observer> observer);

    std::string_view name() const noexcept { return name_; }
    CircuitBreakerConfig config() const;
    void set_config(const CircuitBreakerConfig& config);

    void set_observer(std::shared_ptr<Observer> observer);
    void on_state_change(std::function<void(const CircuitStateChanged&)> callback);

    // The error of a refused call, after the observer was told. Allocates nothing.
    Error refuse(std::optional<Duration> retry_after) const;

    // Tells everybody about a change of state. Throws `std::bad_alloc` before it tells anybody, or not at all.
    void publish(const BreakerTransition& transition) { publish(transition, name_); }
    // The same in the name of one of several.
    void publish(const BreakerTransition& transition, std::string_view name);

    std::optional<OpenReason> why_open() const;
    // Of what was opened before the circuit had been reset so often, told by now or not.
    void forget_reason(std::uint64_t resets);

  private:
    using Callback = std::function<void(const CircuitStateChanged&)>;

    const std::string name_;
    // The same text several times: every refusal counts a reference to one, and threads that an outage turns away at
    // the same time should not count in one place.
    const std::array<Error::SharedText, 4> refusals_;

    mutable std::mutex mutex_;
    CircuitBreakerConfig config_;
    CurrentObserver observer_;
    std::vector<std::shared_ptr<const Callback>> callbacks_;
    std::optional<OpenReason> reason_;
    std::uint64_t resets_ = 0; // before what `reason_` tells of, or told of
};

} // namespace velostream::detail
