// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <memory>
#include <mutex>
#include <utility>

#include "velostream/base/observer.hpp"
#include "velostream/config/streaming_config.hpp"

namespace velostream {

/// Passes on to another observer what the flags of a `StreamingConfig` select.
///
/// | flag | passes on |
/// |---|---|
/// | `log_resource_allocations` | memory that was allocated and released |
/// | `debug_resource_management` | the same; refusals of memory and limiters; adaptive limits that move; failed
/// connects | | `log_circuit_breaker_state_changes` | state changes of circuits | | `debug_circuit_breakers` | the
/// same, and calls that a circuit rejected | | `log_retry_attempts` | scheduled retries | | `debug_retries` | the same,
/// and retries given up |
///
/// What no flag is about always passes: memory pressure that changes, stalls, connections that are not given back,
/// dead letters.
///
/// Threads: as safe as the observer behind it.
class FilteringObserver final : public Observer {
  public:
    /// Without `behind` nothing passes.
    FilteringObserver(const StreamingConfig& config, std::shared_ptr<Observer> behind) noexcept;

    /// Whether allocations and releases pass: they are not worth preparing otherwise.
    bool passes_allocations() const noexcept { return allocations_; }

    void on_memory_allocated(const MemoryAllocated& event) noexcept override;
    void on_memory_released(const MemoryReleased& event) noexcept override;
    void on_memory_refused(const MemoryRefused& event) noexcept override;
    void on_memory_stalled(const MemoryStalled& event) noexcept override;
    void on_pressure_changed(const PressureChanged& event) noexcept override;
    void on_circuit_state_changed(const CircuitStateChanged& event) noexcept override;
    void on_call_rejected(const CallRejected& event) noexcept override;
    void on_call_refused(const CallRefused& event) noexcept override;
    void on_concurrency_limit_changed(const ConcurrencyLimitChanged& event) noexcept override;
    void on_retry_scheduled(const RetryScheduled& event) noexcept override;
    void on_retry_given_up(const RetryGivenUp& event) noexcept override;
    void on_connect_failed(const ConnectFailed& event) noexcept override;
    void on_connection_leaked(const ConnectionLeaked& event) noexcept override;
    void on_dead_letter_stored(const DeadLetterStored& event) noexcept override;
    void on_dead_letter_delayed(const DeadLetterDelayed& event) noexcept override;
    void on_dead_letter_spooled(const DeadLetterSpooled& event) noexcept override;
    void on_dead_letter_flood(const DeadLetterFlood& event) noexcept override;
    void on_dead_letters_stuck(const DeadLettersStuck& event) noexcept override;
    void on_dead_letter_topic_differs(const DeadLetterTopicDiffers& event) noexcept override;

  private:
    std::shared_ptr<Observer> behind_;
    bool allocations_, refusals_, states_, rejections_, retries_, retries_given_up_;
};

/// Prints every event as one line of text: `velostream: circuit orders: closed -> open (failures 5 of 5)`.
///
/// Threads:  safe; the lines of several threads do not mix.
/// Lifetime: the stream must outlive it.
class StreamObserver final : public Observer {
  public:
    explicit StreamObserver(std::ostream& out) noexcept : out_(out) {}

    void on_memory_allocated(const MemoryAllocated& event) noexcept override;
    void on_memory_released(const MemoryReleased& event) noexcept override;
    void on_memory_refused(const MemoryRefused& event) noexcept override;
    void on_memory_stalled(const MemoryStalled& event) noexcept override;
    void on_pressure_changed(const PressureChanged& event) noexcept override;
    void on_circuit_state_changed(const CircuitStateChanged& event) noexcept override;
    void on_call_rejected(const CallRejected& event) noexcept override;
    void on_call_refused(const CallRefused& event) noexcept override;
    void on_concurrency_limit_changed(const ConcurrencyLimitChanged& event) noexcept override;
    void on_retry_scheduled(const RetryScheduled& event) noexcept override;
    void on_retry_given_up(const RetryGivenUp& event) noexcept override;
    void on_connect_failed(const ConnectFailed& event) noexcept override;
    void on_connection_leaked(const ConnectionLeaked& event) noexcept override;
    void on_dead_letter_stored(const DeadLetterStored& event) noexcept override;
    void on_dead_letter_delayed(const DeadLetterDelayed& event) noexcept override;
    void on_dead_letter_spooled(const DeadLetterSpooled& event) noexcept override;
    void on_dead_letter_flood(const DeadLetterFlood& event) noexcept override;
    void on_dead_letters_stuck(const DeadLettersStuck& event) noexcept override;
    void on_dead_letter_topic_differs(const DeadLetterTopicDiffers& event) noexcept override;

  private:
    template <class... Parts>
    void line(const Parts&... parts) noexcept;

    std::mutex mutex_;
    std::ostream& out_;
};

} // namespace velostream
