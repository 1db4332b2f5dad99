// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/error_condition.hpp>
#include <string_view>
#include <type_traits>

namespace velostream {

/// What kind of failure an error is, whatever library reported it. Retry lists, breakers and the dead letter queue
/// decide by this.
///
/// It is an error *condition*: `code == ErrorType::network` holds for codes of any category that is known to belong
/// there (errno, Asio, name resolution, this library's own). A user's category joins in by answering
/// `default_error_condition` or `equivalent` with a condition made from an `ErrorType`, or `default_error_condition`
/// with one of errno's, such as `std::errc::timed_out`, which is then classified.
enum class ErrorType {
    network = 1,         ///< the peer cannot be reached, or the connection broke
    timeout,             ///< no answer in time
    service_unavailable, ///< the peer answers that it cannot serve now
    authentication,      ///< who we are was not accepted
    authorization,       ///< what we asked for is not allowed to us
    bad_request,         ///< the request or record itself is wrong and will be wrong next time
    resource_exhausted,  ///< a limit refused it: ours (memory, open circuit, full pool, rate) or the service's own
    cancelled,           ///< the caller gave up
    fatal,               ///< the component cannot go on
    outcome_unknown,     ///< it may have happened or not
    unknown,             ///< anything else, such as an exception of the user's own type
};

/// The word used in logs, metrics and dead letters, for example `service_unavailable`.
std::string_view to_string(ErrorType type) noexcept;

/// The type of a code: what its own category says, else what is known about the category, else `ErrorType::unknown`.
/// Must not be asked about success. Threads: safe.
ErrorType classify(const boost::system::error_code& code) noexcept;

const boost::system::error_category& error_type_category() noexcept;

inline boost::system::error_condition make_error_condition(ErrorType type) noexcept {
    return {static_cast<int>(type), error_type_category()};
}

} // namespace velostream

template <>
struct boost::system::is_error_condition_enum<velostream::ErrorType> : std::true_type {};
