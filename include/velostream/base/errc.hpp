// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/error_condition.hpp>
#include <type_traits>

namespace velostream {

/// The codes that this library itself reports.
enum class Errc {
    // Memory and admission
    memory_limit_exceeded = 1, ///< an account on the way to the root lacked room
    admission_refused,         ///< `max_concurrent_queries` are running
    group_refused,             ///< a new group found no room; existing groups go on
    window_buffer_full,        ///< `max_window_buffer_size` records are held
    disk_quota_exceeded,       ///< files hold as much as they may

    // Circuit breaker, retry and companions
    circuit_open = 20, ///< refused without a call downstream
    retries_exhausted, ///< every allowed try failed; the last error is inside
    budget_exhausted,  ///< the retry budget allowed no further try
    bulkhead_full,     ///< too many calls in flight
    rate_limited,      ///< too many calls per unit of time
    deadline_exceeded, ///< the call's own deadline passed
    operation_failed,  ///< the operation threw; the exception is the cause
    cancelled,         ///< the caller cancelled

    // Connection pool
    pool_timeout = 40, ///< no connection within `connection_timeout`
    pool_exhausted,    ///< no room for another connection or waiter
    pool_closed,       ///< the pool is shutting down
    connect_failed,    ///< the factory could not open a connection

    // Kafka
    send_timeout = 60,     ///< no acknowledgment within the deadline, and nothing was written
    send_outcome_unknown,  ///< no acknowledgment within the deadline; it may have been written
    broker_unreachable,    ///< no broker answers
    producer_closed,       ///< the producer is shutting down
    consumer_closed,       ///< the consumer is shutting down
    invalid_configuration, ///< the client library refused a property
    producer_fenced,       ///< another producer has taken this one's `transactional_id`

    // Dead letter queue
    record_not_to_blame = 80, ///< the error says nothing about this record: hold it and try again
    dead_letter_lost,         ///< the dead letter could not be made safe: do not advance the source
};

const boost::system::error_category& velostream_category() noexcept;

inline boost::system::error_code make_error_code(Errc code) noexcept {
    return {static_cast<int>(code), velostream_category()};
}

/// The two ways in which a call through a circuit breaker ends badly, as in `match` on its result.
enum class CircuitBreakerError {
    open = 1,         ///< refused: the circuit is open, nothing was called
    operation_failed, ///< the call was admitted and failed
};

const boost::system::error_category& circuit_breaker_error_category() noexcept;

inline boost::system::error_condition make_error_condition(CircuitBreakerError error) noexcept {
    return {static_cast<int>(error), circuit_breaker_error_category()};
}

} // namespace velostream

template <>
struct boost::system::is_error_code_enum<velostream::Errc> : std::true_type {};
template <>
struct boost::system::is_error_condition_enum<velostream::CircuitBreakerError> : std::true_type {};
