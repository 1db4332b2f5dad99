// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <utility>

#include "aside.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/async/timed_operation.hpp"
#include "velostream/base/result.hpp"

namespace velostream::postgres {

/// Runs `operation`, which gives a `Result<T>`, on a serial executor until its end or until `deadline`.
///
/// Errors:       Errc::deadline_exceeded; Errc::cancelled; or its own.
/// Cancellation: all kinds, by that error; the operation is cancelled, and has ended.
/// Lifetime:     `operation` must live until then.
template <class T, class Operation>
asio::awaitable<Result<T>> bounded(OwnFrame, TimePoint deadline, Operation& operation) {
    CallContext unused;
    auto running = run_until(SteadyTime{}, deadline, operation, unused);
    auto& outcome = co_await running;
    if (auto error = outcome.error()) {
        if (*error == ErrorType::cancelled && !outcome.value) co_return Error{Errc::cancelled};
        co_return std::move(*error);
    }
    co_return std::move(*outcome.value);
}

} // namespace velostream::postgres
