// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "consumer_session.hpp"
#include "producer_session.hpp"
#include "velostream/base/error.hpp"
#include "velostream/base/result.hpp"

namespace velostream::kafka {

/// The calls of the client library that block until the brokers have answered: for a thread of their own. Where the
/// library says that a call may be made again they do so, a moment apart; that ends when it says otherwise, at `until`,
/// or once the call is unwanted.
namespace transaction_calls {

/// What the client is good for after a call that failed.
enum class Remedy : std::uint8_t {
    wait,   ///< the same call may be made again
    abort,  ///< the transaction must be aborted; then the client is as good as new
    reopen, ///< a new client is needed
    stop,   ///< a new client would fare no better: another one has our place, or somebody has to see to it
};

struct Failure {
    Remedy remedy;
    Error error;
};
/// Nothing if it went well.
using Outcome = std::optional<Failure>;

/// Gets the place of `transactional_id`, which ends what an earlier owner left open, and begins a transaction.
Outcome open(ProducerSession& session, TimePoint until, const std::atomic<bool>& is_unwanted);

/// What a commit says that was read, and by whom.
struct Offsets {
    std::vector<ConsumerSession::Position> positions;
    std::shared_ptr<const rd_kafka_consumer_group_metadata_t> membership;
};

/// Adds the offsets to the transaction, commits it and begins another. Everything that was handed over must have been
/// acknowledged. A `reopen` means that nobody knows whether it was committed.
Outcome commit(ProducerSession& session, const Offsets& offsets, TimePoint until, const std::atomic<bool>& is_unwanted);

/// Aborts the transaction and begins another. Returns why the client itself gave it up, if it did, as `Remedy::abort`.
struct Aborted {
    Outcome outcome;
    std::optional<Error> why;
};
Aborted abort(ProducerSession& session, TimePoint until, const std::atomic<bool>& is_unwanted);

/// Aborts what is open, in a session that nobody serves any more.
void abort_at_the_end(ProducerSession& session, TimePoint until) noexcept;

/// The offsets that the group has committed, or -1 where it has none. Waits for transactions that are about to end.
Result<std::vector<ConsumerSession::Position>> committed(ConsumerSession& session,
                                                         std::vector<ConsumerSession::Position> partitions,
                                                         const std::atomic<bool>& is_unwanted);

/// Reads on from these places, except where the offset is no number of a record. What was read before and not taken yet
/// is gone when this has ended well; where it has not, nobody knows.
Result<void> seek(ConsumerSession& session, const std::vector<ConsumerSession::Position>& places);

} // namespace transaction_calls

} // namespace velostream::kafka
