// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/errc.hpp"

#include <string>

namespace velostream {

namespace {

const char* text_of(Errc code) noexcept {
    switch (code) {
        case Errc::memory_limit_exceeded:
            return "memory limit exceeded";
        case Errc::admission_refused:
            return "query not admitted";
        case Errc::group_refused:
            return "new group refused";
        case Errc::window_buffer_full:
            return "window buffer full";
        case Errc::disk_quota_exceeded:
            return "disk quota exceeded";
        case Errc::circuit_open:
            return "circuit open";
        case Errc::retries_exhausted:
            return "retries exhausted";
        case Errc::budget_exhausted:
            return "retry budget exhausted";
        case Errc::bulkhead_full:
            return "bulkhead full";
        case Errc::rate_limited:
            return "rate limited";
        case Errc::deadline_exceeded:
            return "deadline exceeded";
        case Errc::operation_failed:
            return "operation failed";
        case Errc::cancelled:
            return "cancelled";
        case Errc::pool_timeout:
            return "no connection in time";
        case Errc::pool_exhausted:
            return "connection pool exhausted";
        case Errc::pool_closed:
            return "connection pool closed";
        case Errc::connect_failed:
            return "connect failed";
        case Errc::send_timeout:
            return "send timed out";
        case Errc::send_outcome_unknown:
            return "send outcome unknown";
        case Errc::broker_unreachable:
            return "no broker reachable";
        case Errc::producer_closed:
            return "producer closed";
        case Errc::consumer_closed:
            return "consumer closed";
        case Errc::invalid_configuration:
            return "invalid configuration";
        case Errc::producer_fenced:
            return "producer fenced";
        case Errc::record_not_to_blame:
            return "the record is not to blame";
        case Errc::dead_letter_lost:
            return "dead letter could not be stored";
    }
    return "unknown velostream error";
}

class VelostreamCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "velostream"; }
    std::string message(int value) const override { return text_of(static_cast<Errc>(value)); }
};

class CircuitBreakerErrorCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "velostream.circuit_breaker"; }
    std::string message(int value) const override {
        return static_cast<CircuitBreakerError>(value) == CircuitBreakerError::open ? "circuit open"
                                                                                    : "operation failed";
    }
    bool equivalent(const boost::system::error_code& code, int condition) const noexcept override {
        const bool open = code == make_error_code(Errc::circuit_open);
        return static_cast<CircuitBreakerError>(condition) == CircuitBreakerError::open ? open : code.failed() && !open;
    }
};

} // namespace

const boost::system::error_category& velostream_category() noexcept {
    static const VelostreamCategory category;
    return category;
}

const boost::system::error_category& circuit_breaker_error_category() noexcept {
    static const CircuitBreakerErrorCategory category;
    return category;
}

} // namespace velostream
