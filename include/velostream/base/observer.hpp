// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <string_view>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

/// The states of a circuit. The last three are set by hand.
enum class CircuitState : std::uint8_t { closed, open, half_open, forced_open, disabled, metrics_only };

/// How near the memory limit is. Ordered: a later level is worse.
enum class PressureLevel : std::uint8_t { normal, high, critical };

std::string_view to_string(CircuitState state) noexcept;
std::string_view to_string(PressureLevel level) noexcept;

// What happened, in the past tense. The views are valid during the call only.

struct MemoryAllocated {
    std::string_view account, name;
    Bytes bytes, used;
    std::optional<Bytes> limit;
};
struct MemoryReleased {
    std::string_view account, name;
    Bytes bytes, used;
};
struct MemoryRefused {
    std::string_view account, name;
    Bytes asked;
    const Error& error;
};
struct MemoryStalled {
    std::string_view account; ///< where somebody waits, and nothing has come back
    std::uint64_t waiting;
    Bytes used, limit;
    Duration lasts; ///< for at least so long
};
struct PressureChanged {
    PressureLevel from, to;
    double pressure_percentage;
};
struct CircuitStateChanged {
    std::string_view breaker;
    CircuitState from, to;
    std::string_view why;
    TimePoint at;
};
struct CallRejected {
    std::string_view breaker;
    std::optional<Duration> retry_after;
};
struct CallRefused {
    std::string_view limiter; ///< the bulkhead, rate limiter or adaptive limit
    std::string_view why;     ///< one of a few words, such as `no room` or `waited too long`
    const Error& error;       ///< what the caller is told, with the figures
};
struct ConcurrencyLimitChanged {
    std::string_view limiter; ///< the adaptive limit
    std::size_t from, to;     ///< so many calls at once
    std::string_view why;     ///< one of a few words, such as `latency rose` or `room to grow`
};
struct RetryScheduled {
    std::uint32_t failed_attempts;
    Duration delay;
    const Error& error;
};
struct RetryGivenUp {
    std::uint32_t attempts;
    std::string_view why;
    const Error& error;                ///< of the last try
    std::optional<Duration> elapsed{}; ///< as `Error::elapsed()` of what the caller gets
    bool elapsed_longer = false;       ///< as its `elapsed_longer()`
};
struct ConnectFailed {
    std::string_view pool;
    const Error& error;
};
struct ConnectionLeaked {
    std::string_view pool;
    Duration lent_for;                ///< for at least so long, and it is out still
    std::source_location borrowed_at; ///< where `get_connection` was called
};
struct DeadLetterStored {
    std::string_view topic;
    const Error& error;
};
struct DeadLetterDelayed {
    std::string_view topic;
    std::uint32_t failed_deliveries;
    const Error& delivery_error;
};
struct DeadLetterSpooled {
    std::string_view topic;
    const Error& error;
    std::uint64_t waiting; ///< dead letters in the spool, this one included
};
struct DeadLetterFlood {
    std::string_view topic;
    std::string_view why; ///< one of a few words, such as `one cause`
    Duration hold;        ///< so long the source stands still
    const Error& error;   ///< of the record with which it began
};
struct DeadLettersStuck {
    std::string_view topic;
    std::uint64_t waiting; ///< dead letters in the spool
    std::uint32_t failed_deliveries;
    const Error& delivery_error; ///< of the first of them, or of the one that was put aside
};
struct DeadLetterTopicDiffers {
    std::string_view topic;
    std::string_view setting; ///< such as `retention.ms`, or `partitions`
    std::string_view wanted, actual;
};

/// Is told what the library does. Override what you want to know; the rest does nothing.
///
/// Threads:      called from any thread that makes an event happen, never under a lock of this library.
/// Errors:       must not throw: an exception that leaves it ends the program, as with any `noexcept` function.
/// Lifetime:     components share ownership of their observer.
class Observer {
  public:
    virtual ~Observer() = default;

    virtual void on_memory_allocated(const MemoryAllocated&) noexcept {}
    virtual void on_memory_released(const MemoryReleased&) noexcept {}
    virtual void on_memory_refused(const MemoryRefused&) noexcept {}
    virtual void on_memory_stalled(const MemoryStalled&) noexcept {}
    virtual void on_pressure_changed(const PressureChanged&) noexcept {}
    virtual void on_circuit_state_changed(const CircuitStateChanged&) noexcept {}
    virtual void on_call_rejected(const CallRejected&) noexcept {}
    virtual void on_call_refused(const CallRefused&) noexcept {}
    virtual void on_concurrency_limit_changed(const ConcurrencyLimitChanged&) noexcept {}
    virtual void on_retry_scheduled(const RetryScheduled&) noexcept {}
    virtual void on_retry_given_up(const RetryGivenUp&) noexcept {}
    virtual void on_connect_failed(const ConnectFailed&) noexcept {}
    virtual void on_connection_leaked(const ConnectionLeaked&) noexcept {}
    virtual void on_dead_letter_stored(const DeadLetterStored&) noexcept {}
    virtual void on_dead_letter_delayed(const DeadLetterDelayed&) noexcept {}
    virtual void on_dead_letter_spooled(const DeadLetterSpooled&) noexcept {}
    virtual void on_dead_letter_flood(const DeadLetterFlood&) noexcept {}
    /// Delivery from the spool has failed 1 + `max_retries` times, and goes on. Once, until one has arrived. Of letters
    /// that were put aside, since they or their topic are to blame, once for each cause.
    virtual void on_dead_letters_stuck(const DeadLettersStuck&) noexcept {}
    /// The topic was there already, with another setting than its queue's config wants. It is left as it is.
    virtual void on_dead_letter_topic_differs(const DeadLetterTopicDiffers&) noexcept {}
};

} // namespace velostream
