// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "velostream/base/observer.hpp"
#include "velostream/config/streaming_config.hpp"

namespace spdlog {
class logger;
}

namespace velostream {

/// Which events an `SpdlogObserver` prints, and how loud. What is selected twice is printed once, at info.
struct LogSelection {
    bool allocations = false;     ///< memory allocated, released, refused: info
    bool memory_details = false;  ///< the same: debug
    bool circuit_states = false;  ///< circuits that change their state: info
    bool circuit_details = false; ///< the same, and calls that a circuit rejected: debug
    bool retry_attempts = false;  ///< retries scheduled, and given up: info
    bool retry_details = false;   ///< the same: debug
    bool refused_calls = false;   ///< calls that a bulkhead, rate limiter or adaptive limit refused: debug
    bool limit_changes = false;   ///< adaptive limits that moved: debug
    bool dead_letters = false;    ///< every dead letter that was stored: debug
    bool connects = false;        ///< connects of pools that failed: debug

    /// What the flags ask for: `log_*` the first of each pair, `debug_*` the second; `debug_resource_management` also
    /// refused calls, limits that moved and connects that failed. Dead letters are selected by any `debug_*` flag.
    static LogSelection from(const StreamingConfig& config) noexcept;
    static constexpr LogSelection everything() noexcept {
        return {true, true, true, true, true, true, true, true, true, true};
    }
};

/// Prints what the library does through a logger of yours: one line an event, `event=call_rejected breaker=orders`.
///
/// Values with spaces, quotes, equal signs or control characters are quoted and escaped, so that a line is always one
/// line and can be taken apart again. Always printed, whatever is selected: memory pressure that changes (warning;
/// error when critical; info when it is normal again), memory that is waited for and does not come back (warning),
/// connections that are not given back (warning), and dead letters that could not be delivered yet (warning). The
/// logger's own level applies after the selection.
///
/// Threads: as safe as the logger, that is, safe with the `_mt` sinks.
/// Errors:  none leave it; a line that cannot be printed is left out.
class SpdlogObserver final : public Observer {
  public:
    SpdlogObserver(std::shared_ptr<spdlog::logger> logger, const LogSelection& selection);
    SpdlogObserver(std::shared_ptr<spdlog::logger> logger, const StreamingConfig& config)
        : SpdlogObserver(std::move(logger), LogSelection::from(config)) {}
    ~SpdlogObserver() override;

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
    std::shared_ptr<spdlog::logger> logger_;
    LogSelection selection_;
};

} // namespace velostream
