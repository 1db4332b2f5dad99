// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <utility>

#include "velostream/base/result.hpp"

namespace velostream::dlq {

/// The result of a coroutine that needs no context of its own; what it throws is thrown here. Blocks until it has
/// ended.
template <class T>
Result<T> wait_for(boost::asio::awaitable<Result<T>> operation) {
    boost::asio::io_context io{1};
    std::exception_ptr problem;
    Result<T> result = Error{Errc::cancelled};
    boost::asio::co_spawn(io, std::move(operation), [&](std::exception_ptr thrown, Result<T> answer) {
        problem = std::move(thrown);
        result = std::move(answer);
    });
    io.run();
    if (problem) std::rethrow_exception(problem);
    return result;
}

} // namespace velostream::dlq
