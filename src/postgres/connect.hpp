// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>

#include "connect_options.hpp"
#include "session.hpp"

namespace velostream::postgres {

/// Connects to the first host that answers and is as was asked for.
///
/// Errors:       the last one's, with what became of each in the detail; Errc::deadline_exceeded.
/// Cancellation: all kinds, by Errc::cancelled.
asio::awaitable<Result<LibpqConnection>> connect(OwnFrame, std::shared_ptr<const ConnectOptions> to, TimePoint deadline,
                                                 asio::any_io_executor executor);

} // namespace velostream::postgres
