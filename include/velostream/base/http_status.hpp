// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>

#include "velostream/base/error_type.hpp"

namespace velostream {

/// What kind of failure an answer with this HTTP status is, or one with a status like it, as many services have them.
///
/// | status | type |
/// |---|---|
/// | 401, 407, 511 | `authentication` |
/// | 402, 403, 451 | `authorization` |
/// | 408, 504 | `timeout` |
/// | 421 | `network`: another connection may reach who can answer |
/// | 423, 425 | `service_unavailable`: later the same request may be right |
/// | 429, 509 | `resource_exhausted`: it asks for less. A breaker counts it apart, and no default tries it again |
/// | 501, 505, 506, 510 | `bad_request`: the next answer would be the same |
/// | other 4xx | `bad_request` |
/// | other 5xx | `service_unavailable` |
/// | anything else | `unknown`: it is no failure, as long as nobody takes it for one |
///
/// A request that changes something may have done so before a 5xx or a 408 was answered: where that matters and the
/// operation is not `idempotent`, say `ErrorType::outcome_unknown` instead.
///
/// Threads: safe.
ErrorType error_type_of_http_status(int status) noexcept;

/// The status as a code, which classifies as above:
/// `co_return Error{http_status_code(answer.status)}.with_retry_after(5s);`
///
/// Threads: safe.
boost::system::error_code http_status_code(int status) noexcept;

const boost::system::error_category& http_status_category() noexcept;

} // namespace velostream
