// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/recording_observer.hpp"

#include <algorithm>

namespace velostream::testing {

std::size_t RecordingObserver::count(std::string_view name) const {
    const std::lock_guard lock{mutex_};
    return static_cast<std::size_t>(std::count(names_.begin(), names_.end(), name));
}

void RecordingObserver::note(std::string_view name) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back(name);
}

void RecordingObserver::on_circuit_state_changed(const CircuitStateChanged& event) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back("circuit_state_changed");
    transitions_.push_back({std::string{event.breaker}, event.from, event.to, std::string{event.why}, event.at});
}

void RecordingObserver::on_call_refused(const CallRefused& event) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back("call_refused");
    refusals_.push_back({std::string{event.limiter}, std::string{event.why}, event.error});
}

void RecordingObserver::on_concurrency_limit_changed(const ConcurrencyLimitChanged& event) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back("concurrency_limit_changed");
    limit_changes_.push_back({std::string{event.limiter}, event.from, event.to, std::string{event.why}});
}

void RecordingObserver::on_retry_scheduled(const RetryScheduled& event) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back("retry_scheduled");
    retries_.push_back({event.failed_attempts, event.delay, event.error});
}

void RecordingObserver::on_retry_given_up(const RetryGivenUp& event) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back("retry_given_up");
    given_up_.push_back({event.attempts, std::string{event.why}, event.error, event.elapsed, event.elapsed_longer});
}

void RecordingObserver::on_connect_failed(const ConnectFailed& event) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back("connect_failed");
    failed_connects_.push_back({std::string{event.pool}, event.error});
}

void RecordingObserver::on_connection_leaked(const ConnectionLeaked& event) noexcept {
    const std::lock_guard lock{mutex_};
    names_.emplace_back("connection_leaked");
    leaks_.push_back({std::string{event.pool}, event.lent_for, event.borrowed_at});
}

} // namespace velostream::testing
