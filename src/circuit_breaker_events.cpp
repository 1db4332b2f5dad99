// SPDX-License-Identifier: Apache-2.0
#include "velostream/circuit_breaker_events.hpp"

#include <utility>

#include "velostream/core/thread_seat.hpp"

namespace velostream::detail {

namespace {

std::array<Error::SharedText, 4> refusals_of(const std::string& name) {
    const auto text = [&] { return Error::SharedText{"circuit breaker " + name}; };
    return {text(), text(), text(), text()};
}

// noexcept: the change has been told to others.
void tell(const std::function<void(const CircuitStateChanged&)>& callback, const CircuitStateChanged& change) noexcept {
    callback(change);
}

} // namespace

CircuitBreakerEvents::CircuitBreakerEvents(std::string name, const CircuitBreakerConfig& config,
                                           std::shared_ptr<Observer> observer)
    : name_(std::move(name)), refusals_(refusals_of(name_)), config_(config), observer_(std::move(observer)) {}

CircuitBreakerConfig CircuitBreakerEvents::config() const {
    const std::lock_guard lock{mutex_};
    return config_;
}

void CircuitBreakerEvents::set_config(const CircuitBreakerConfig& config) {
    const std::lock_guard lock{mutex_};
    config_ = config;
}

void CircuitBreakerEvents::set_observer(std::shared_ptr<Observer> observer) {
    std::vector<std::shared_ptr<Observer>> replaced; // end without the lock
    const std::lock_guard lock{mutex_};
    replaced = observer_.locked_set(std::move(observer));
}

void CircuitBreakerEvents::on_state_change(Callback callback) {
    const std::lock_guard lock{mutex_};
    callbacks_.push_back(std::make_shared<const Callback>(std::move(callback)));
}

Error CircuitBreakerEvents::refuse(std::optional<Duration> retry_after) const {
    observer_.tell([&](Observer& observer) { observer.on_call_rejected({name_, retry_after}); });
    Error error{Errc::circuit_open, refusals_[thread_seat() % refusals_.size()]};
    return retry_after ? std::move(error).with_retry_after(*retry_after) : error;
}

void CircuitBreakerEvents::publish(const BreakerTransition& transition, std::string_view name) {
    const auto why = describe(transition);
    std::optional<OpenReason> reason;
    if (transition.to == CircuitState::open || transition.to == CircuitState::forced_open)
        reason = open_reason_of(transition);
    std::vector<std::shared_ptr<const Callback>> callbacks;
    {
        const std::lock_guard lock{mutex_};
        callbacks = callbacks_;
        if (reason && transition.resets >= resets_) {
            reason_ = std::move(reason);
            resets_ = transition.resets;
        }
    }
    const CircuitStateChanged change{name, transition.from, transition.to, why, transition.at};
    observer_.tell([&](Observer& observer) { observer.on_circuit_state_changed(change); });
    for (const auto& callback : callbacks) tell(*callback, change);
}

std::optional<OpenReason> CircuitBreakerEvents::why_open() const {
    const std::lock_guard lock{mutex_};
    return reason_;
}

void CircuitBreakerEvents::forget_reason(std::uint64_t resets) {
    const std::lock_guard lock{mutex_};
    if (resets <= resets_) return; // it opened again since
    reason_.reset();
    resets_ = resets;
}

} // namespace velostream::detail
