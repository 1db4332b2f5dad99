// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/base/result.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/kafka/consumed_record.hpp"
#include "velostream/kafka/consumer_config.hpp"
#include "velostream/kafka/detail/record_loop.hpp"
#include "velostream/kafka/for_each_options.hpp"

namespace velostream::kafka {

/// Records in the order in which they were read; those of one partition in the order of its log.
using RecordBatch = std::vector<ConsumedRecord>;

/// How far a partition has been read.
struct PartitionPosition {
    std::string topic;
    std::int32_t partition;
    std::optional<std::int64_t> next;   ///< the offset where reading goes on; nothing where it is not known
    std::optional<std::int64_t> stored; ///< every record before it is done; what the next commit says
    std::size_t open = 0;               ///< records read that are not done, or lie behind one that is not
    bool is_at_end = false;             ///< nothing more was there; needs `report_ends`
};

struct ConsumerStats {
    std::uint64_t records = 0;       ///< read
    std::uint64_t done = 0;          ///< of these, completed while their partition was ours
    std::uint64_t done_too_late = 0; ///< completed after their partition was taken away: they come again
    std::uint64_t rebalances = 0;    ///< partitions were given or taken
    std::uint64_t failed_commits = 0;
    std::size_t held = 0;     ///< records that wait for the circuit of `ForEachOptions::gate`
    std::size_t queued = 0;   ///< fetched ahead and given to nobody, with a few notes of the client's; never charged
    Bytes queued_bytes = 0;   ///< their keys and values, by the mean of those read so far; 0 before the first one
    Bytes queue_limit = 0;    ///< what these may be, but for one fetch: `fetch_queue_bytes` in force
    std::string last_problem; ///< what the client last complained of
};

/// Reads topics as a member of a consumer group, and commits what is done: offset N + 1 only when record N *and every
/// earlier one of its partition* is done, in whatever order they are completed.
///
/// Threads:  one at a time: use it on its executor only (a strand where that has several threads). The client library's
///           threads run no code of this library or of yours.
/// Lifetime: an open consumer keeps its execution context running until `close`. Destruction does not block; the group
///           is left, and what is done is committed, in the background.
class Consumer {
  public:
    /// Connects and subscribes in the background. Throws `std::invalid_argument` that lists every problem of `config`,
    /// and `std::system_error` where the process has no file descriptor left.
    ///
    /// `budget` is what the size of the fetch queue follows from, where the config leaves it open: its limit, or a
    /// lower one above it, as it is now. Nothing is charged to it; unlimited unless given.
    Consumer(asio::any_io_executor executor, const ConsumerConfig& config, const MemoryAccount& budget = {});
    Consumer(Consumer&&) noexcept = default;
    Consumer& operator=(Consumer&&) noexcept;
    ~Consumer();

    /// Waits for records and returns up to `most` of them: those that are here, without waiting for more.
    ///
    /// Errors:       Errc::consumer_closed after `stop` or `close`. Errors that another try cannot mend, such as a
    ///               missing authorization; what the client mends by itself shows in `get_stats().last_problem` only.
    /// Cancellation: all kinds; ends with Errc::cancelled, and no record is lost.
    asio::awaitable<Result<RecordBatch>> next_batch(std::size_t most = 500);

    /// The record needs not be read again. In any order, once for each. Later than its partition's revocation it has no
    /// effect: whoever has the partition now reads the record again.
    void done(const ConsumedRecord& record);

    /// Calls `handler(record)` for every record, with up to `options.max_in_flight` of them in progress: a coroutine
    /// `awaitable<void>`, or of any `Result`, for a `const ConsumedRecord&`. Handlers of one partition start in its
    /// order: what a handler does before it first waits is done in order. Success makes the record done. The first
    /// failure (other than those that `options.gate` waits out) ends the loop: no more handlers start, those in
    /// progress end, and the failed record is not done.
    /// Ends with success after `stop` or `close`, when the handlers in progress have ended.
    ///
    /// A fixed number of coroutines serve all records; a record costs no allocation of its own. One loop at a time.
    ///
    /// Errors:       the first handler's error or exception; `next_batch`'s; Errc::memory_limit_exceeded, which names
    ///               the record, its bytes and the limit, if a record with its handler's bytes is larger than the limit
    ///               of `options.memory` or of an account above it: no waiting could help. The call itself throws
    ///               `std::invalid_argument` for `max_in_flight = 0`, and while an earlier loop has not ended.
    /// Cancellation: all kinds; it is passed on to the handlers in progress, and ends with Errc::cancelled when they
    ///               have ended. Their records are not done, unless they ended well.
    /// Lifetime:     a consumer that ends stops its loop, as `close` does. Another context, from which the loop is
    ///               awaited, must live until it has ended; a loop that was never awaited must go before the consumer's
    ///               own context. A context that ends destroys the handlers in
    ///               progress, then `handler`, then the coroutine that awaits the loop: each may use what the next has.
    template <RecordHandler Handler>
    asio::awaitable<Result<void>> for_each(ForEachOptions options, Handler handler) {
        const auto loop = detail::open_record_loop(core_, std::move(options));
        return detail::run_record_loop<Handler>(loop, std::move(handler));
    }

    /// No more records: `for_each` ends when its handlers have, `next_batch` answers Errc::consumer_closed. For a clean
    /// end, call `close` after that. May be called again.
    void stop();

    /// While paused no records are given out; the group membership goes on and the fetch queue fills to its bound.
    void pause();
    void resume();
    bool is_paused() const noexcept;

    /// The partitions that this member has now.
    std::vector<PartitionPosition> assignment() const;

    /// True if this member has partitions and all of them were read to the end they had then. Needs `report_ends`. It
    /// says nothing of those that other members have, nor of those that a member had that has died: they come to this
    /// one only after its `session_timeout`. Who wants the end of the topic asks for the size of `assignment`, too.
    bool end_reached() const;

    /// Stops, commits what is done, and leaves the group, all without blocking this thread; returns when that has
    /// happened or `at_most` has passed. May be called again.
    ///
    /// Cancellation: all kinds; the wait throws `operation_aborted`, and the consumer goes on leaving.
    asio::awaitable<void> close(Duration at_most = std::chrono::seconds{10});

    ConsumerStats get_stats() const;
    asio::any_io_executor get_executor() const;

  private:
    std::shared_ptr<detail::ConsumerCore> core_;
};

} // namespace velostream::kafka
