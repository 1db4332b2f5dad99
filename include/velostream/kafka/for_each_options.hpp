// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/kafka/consumed_record.hpp"

namespace velostream {

namespace asio = boost::asio;

} // namespace velostream

namespace velostream::kafka {

/// How much `Consumer::for_each` does at once.
struct ForEachOptions {
    /// Handlers in progress. Legal: ≥ 1. Default 1000.
    std::size_t max_in_flight = 1000;

    /// What the bytes of records in progress are charged to. While it has no room, no handler starts. Default: an
    /// account of its own without a limit.
    MemoryAccount memory = MemoryAccount::unlimited();

    /// Charged with each record: what its handler holds beside it, such as the record that it sends. Default 0.
    Bytes handler_bytes = 0;
};

/// `(const ConsumedRecord&) -> awaitable<Result<void>>`, or `awaitable<void>`.
template <class Handler>
concept RecordHandler =
    std::move_constructible<Handler> && std::invocable<Handler&, const ConsumedRecord&> &&
    (std::same_as<std::invoke_result_t<Handler&, const ConsumedRecord&>, asio::awaitable<Result<void>>> ||
     std::same_as<std::invoke_result_t<Handler&, const ConsumedRecord&>, asio::awaitable<void>>);

} // namespace velostream::kafka
