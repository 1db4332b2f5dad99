// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/error_type.hpp"

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "velostream/base/errc.hpp"

namespace velostream {

namespace {

ErrorType type_of(Errc code) noexcept {
    switch (code) {
        case Errc::memory_limit_exceeded:
        case Errc::admission_refused:
        case Errc::group_refused:
        case Errc::window_buffer_full:
        case Errc::disk_quota_exceeded:
        case Errc::circuit_open:
        case Errc::budget_exhausted:
        case Errc::bulkhead_full:
        case Errc::rate_limited:
        case Errc::pool_timeout:
        case Errc::pool_exhausted:
            return ErrorType::resource_exhausted;
        case Errc::deadline_exceeded:
        case Errc::send_timeout:
            return ErrorType::timeout;
        case Errc::connect_failed:
        case Errc::broker_unreachable:
            return ErrorType::network;
        case Errc::send_outcome_unknown:
            return ErrorType::outcome_unknown;
        case Errc::cancelled:
        case Errc::pool_closed:
        case Errc::producer_closed:
        case Errc::consumer_closed:
            return ErrorType::cancelled;
        case Errc::invalid_configuration:
        case Errc::dead_letter_lost:
        case Errc::producer_fenced:
            return ErrorType::fatal;
        case Errc::retries_exhausted:
        case Errc::operation_failed:
        case Errc::record_not_to_blame:
            return ErrorType::unknown;
    }
    return ErrorType::unknown;
}

ErrorType type_of_errno(int value) noexcept {
    switch (value) {
        case ECONNREFUSED:
        case ECONNRESET:
        case ECONNABORTED:
        case ENOTCONN:
        case EPIPE:
        case ESHUTDOWN:
        case ENETDOWN:
        case ENETUNREACH:
        case ENETRESET:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case EADDRNOTAVAIL:
            return ErrorType::network;
        case ETIMEDOUT:
        case ETIME:
            return ErrorType::timeout;
        case EAGAIN:
        case EBUSY:
            return ErrorType::service_unavailable;
        case EACCES:
        case EPERM:
            return ErrorType::authorization;
        case EINVAL:
        case EMSGSIZE:
        case EDOM:
        case ERANGE:
        case EILSEQ:
            return ErrorType::bad_request;
        case ENOMEM:
        case ENOSPC:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case EDQUOT:
            return ErrorType::resource_exhausted;
        case ECANCELED:
            return ErrorType::cancelled;
        default:
            return ErrorType::unknown;
    }
}

// Asio's categories are recognised by name: this floor does not include Asio.
ErrorType known_type(const boost::system::error_code& code) noexcept {
    const auto& category = code.category();
    if (category == velostream_category()) return type_of(static_cast<Errc>(code.value()));
    if (category == boost::system::generic_category() || category == boost::system::system_category())
        return type_of_errno(code.value());
    const std::string_view name = category.name();
    constexpr int asio_eof = 2;
    if (name == "asio.misc") return code.value() == asio_eof ? ErrorType::network : ErrorType::unknown;
    if (name == "asio.netdb" || name == "asio.addrinfo" || name == "asio.ssl.stream") return ErrorType::network;
    return ErrorType::unknown;
}

// A user's category may answer with one of errno's conditions, Boost's or std's.
ErrorType type_of_condition(const boost::system::error_code& code) noexcept {
    const auto condition = code.default_error_condition();
    if (condition.category() == boost::system::generic_category()) return type_of_errno(condition.value());
    const auto of_std = static_cast<std::error_code>(code).default_error_condition();
    return of_std.category() == std::generic_category() ? type_of_errno(of_std.value()) : ErrorType::unknown;
}

class ErrorTypeCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "velostream.error_type"; }
    std::string message(int value) const override { return std::string{to_string(static_cast<ErrorType>(value))}; }
    bool equivalent(const boost::system::error_code& code, int condition) const noexcept override {
        const auto type = static_cast<ErrorType>(condition);
        if (!code.failed()) return false;
        if (const auto known = known_type(code); known != ErrorType::unknown) return known == type;
        return type_of_condition(code) == type;
    }
};

} // namespace

std::string_view to_string(ErrorType type) noexcept {
    switch (type) {
        case ErrorType::network:
            return "network";
        case ErrorType::timeout:
            return "timeout";
        case ErrorType::service_unavailable:
            return "service_unavailable";
        case ErrorType::authentication:
            return "authentication";
        case ErrorType::authorization:
            return "authorization";
        case ErrorType::bad_request:
            return "bad_request";
        case ErrorType::resource_exhausted:
            return "resource_exhausted";
        case ErrorType::cancelled:
            return "cancelled";
        case ErrorType::fatal:
            return "fatal";
        case ErrorType::outcome_unknown:
            return "outcome_unknown";
        case ErrorType::unknown:
            return "unknown";
    }
    return "unknown";
}

const boost::system::error_category& error_type_category() noexcept {
    static const ErrorTypeCategory category;
    return category;
}

ErrorType classify(const boost::system::error_code& code) noexcept {
    if (const auto known = known_type(code); known != ErrorType::unknown) return known;
    // Most categories of users say it this way, and this one is answered by one call.
    const auto own_answer = code.default_error_condition();
    if (own_answer.category() == error_type_category()) return static_cast<ErrorType>(own_answer.value());
    constexpr std::array types{
        ErrorType::network,       ErrorType::timeout,        ErrorType::service_unavailable, ErrorType::authentication,
        ErrorType::authorization, ErrorType::bad_request,    ErrorType::resource_exhausted,  ErrorType::cancelled,
        ErrorType::fatal,         ErrorType::outcome_unknown};
    for (const auto type : types)
        if (code == make_error_condition(type)) return type;
    return type_of_condition(code);
}

} // namespace velostream
