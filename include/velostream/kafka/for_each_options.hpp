// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/kafka/circuit_gate.hpp"
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

    /// The breaker of the service that the handlers call: `.gate = breaker`. With it an outage of that service fails no
    /// record and ends no loop; the consumer stands still until the service is back, and remains in its group.
    ///
    /// While the circuit is open no handler starts. Half-open, one at a time: so one partition goes on. Closed again,
    /// first one, and twice as many each time that as many records were done, up to `max_in_flight`; a failure on the
    /// way halves it.
    ///
    /// A record whose handler failed for a reason that is not its fault and passes with time is held: it is not done,
    /// keeps its memory and its place, and is handled again when the circuit admits calls, those that were read first
    /// before the others and before any new one. Those reasons are errors of the types `network`, `timeout`,
    /// `service_unavailable` and `resource_exhausted` that do not blame the record, also inside of what `send_to_dlq`
    /// answers. Where the circuit is closed the record rests before it waits for its turn, and others go on: 20 ms,
    /// twice as long each time, up to 1 s, at least `retry_after`. All other failures end the loop, as without a gate.
    /// How many are held is in `ConsumerStats::held`.
    ///
    /// `stop` and `close` leave records that are held to whoever reads on. The breaker must outlive the loop. Default:
    /// none.
    CircuitGate gate{};
};

namespace detail {

template <class Returned>
inline constexpr bool ends_record = false;
template <>
inline constexpr bool ends_record<asio::awaitable<void>> = true;
template <class Value>
inline constexpr bool ends_record<asio::awaitable<Result<Value>>> = true;

} // namespace detail

/// `(const ConsumedRecord&) -> awaitable<void>`, or of any `Result`, whose value nobody asks for.
template <class Handler>
concept RecordHandler = std::move_constructible<Handler> && std::invocable<Handler&, const ConsumedRecord&> &&
                        detail::ends_record<std::invoke_result_t<Handler&, const ConsumedRecord&>>;

} // namespace velostream::kafka
