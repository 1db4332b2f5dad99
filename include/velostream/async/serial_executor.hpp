// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>

namespace velostream {

namespace asio = boost::asio;

/// Whether `executor` is known to run one thing after the other: a strand of one of Asio's executors, or the executor
/// of an `io_context` that was made for one thread (with the concurrency hint 1).
bool is_serial(const asio::any_io_executor& executor) noexcept;

/// Whether `executor` is known to be running the caller at this moment.
bool runs_here(const asio::any_io_executor& executor) noexcept;

/// An executor that runs one thing after the other, by way of `executor`: that itself where it is known to do so, else
/// a new strand on it. Where there is no memory for all of that, Boost 1.81 crashes.
asio::any_io_executor serial_executor(const asio::any_io_executor& executor);

/// The executor by way of which a strand runs, or that of strands on strands, as one that does not count as work; any
/// other is returned as it is.
asio::any_io_executor below_strands(asio::any_io_executor executor);

} // namespace velostream
