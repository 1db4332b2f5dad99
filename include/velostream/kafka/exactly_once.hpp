// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/detail/exactly_once_loop.hpp"
#include "velostream/kafka/exactly_once_config.hpp"
#include "velostream/kafka/for_each_options.hpp"
#include "velostream/kafka/producer.hpp"

namespace velostream::kafka {

/// What became of the transactions of an `ExactlyOnceProcessor`.
struct ExactlyOnceStats {
    std::uint64_t committed = 0; ///< transactions
    std::uint64_t aborted = 0;   ///< transactions with records in them, which were read again
    std::uint64_t records = 0;   ///< read in committed transactions
    std::uint64_t reopened = 0;  ///< times the producer's client had to be replaced
    std::string last_problem;    ///< why a transaction was aborted last; empty after a commit
    ConsumerStats reading;
    ProducerStats sending; ///< of the present client
};

/// Where a handler writes: what it sends here is seen, together with everything else of the transaction and the
/// offsets that were read in it, when it is committed, or never.
///
/// Threads:  as its processor.
/// Lifetime: valid while the handler that it was given to is in progress; so must be what is sent through it.
class Transaction {
  public:
    /// `has_written` is set by whatever is sent.
    Transaction(std::shared_ptr<detail::ExactlyOnceCore> core, bool& has_written) noexcept
        : core_(std::move(core)), has_written_(&has_written) {}

    /// Writes `record` into the transaction and waits until the brokers have it.
    ///
    /// After a failure of a record that the client had already the transaction is aborted, whatever the handler
    /// answers: nobody could say what is in it. One that was refused at once (too large for the client, say) is not in
    /// it, and the transaction goes on; so it is with one that found no room before its deadline.
    ///
    /// Errors:       those of `Producer::send`.
    /// Cancellation: as of `Producer::send`.
    /// Lifetime:     `record` must stay until the send has ended.
    asio::awaitable<Result<Delivery>> send(const Record& record) {
        return detail::initiate_send(producer(), record, nullptr, asio::use_awaitable);
    }
    asio::awaitable<Result<Delivery>> send(const Record& record, const CallContext& call) {
        return detail::initiate_send(producer(), record, &call, asio::use_awaitable);
    }
    asio::awaitable<Result<Delivery>> send(const RecordView& record, const CallContext& call) {
        return detail::initiate_send(producer(), record, &call, asio::use_awaitable);
    }

    /// `send` for any completion token. The commit waits for it, also where the handler does not.
    ///
    /// Completes with: `Result<Delivery>`.
    template <asio::completion_token_for<Producer::SendSignature> Token>
    auto async_send(const Record& record, Token&& token) {
        return detail::initiate_send(producer(), record, nullptr, token);
    }
    template <asio::completion_token_for<Producer::SendSignature> Token>
    auto async_send(const Record& record, const CallContext& call, Token&& token) {
        return detail::initiate_send(producer(), record, &call, token);
    }
    template <asio::completion_token_for<Producer::SendSignature> Token>
    auto async_send(const RecordView& record, const CallContext& call, Token&& token) {
        return detail::initiate_send(producer(), record, &call, token);
    }

  private:
    detail::ProducerCore& producer() noexcept {
        *has_written_ = true;
        return detail::producer_of(*core_);
    }

    std::shared_ptr<detail::ExactlyOnceCore> core_;
    bool* has_written_;
};

/// Reads topics as a member of a consumer group, and writes what is made of the records in transactions: outputs, dead
/// letters and the offsets of what was read are committed together. Whoever reads the outputs with `read_committed`
/// sees the results of every record once, whatever crashed, hung or was restarted meanwhile.
///
///     kafka::ExactlyOnceProcessor processor{executor, config};
///     auto handler = [](const kafka::ConsumedRecord& record, kafka::Transaction& transaction) { ... };
///     co_await processor.for_each(options, handler);
///
/// What a handler does elsewhere (a database, a service, a file) is no part of the transaction, and happens again when
/// the record is read again.
///
/// One transaction is open at a time, for all partitions of this member. The calls of the client library that block
/// (init, offsets, commit, abort) run on threads of their own, one at a time; no code of yours runs there.
///
/// Threads:  one at a time: use it on its executor only (a strand where that has several threads).
/// Lifetime: an open processor keeps its execution context running until `close`. Destruction does not block; an open
///           transaction is aborted in the background, and its records are read again by whoever is next. The execution
///           context may be destroyed at any time, with the same effect.
class ExactlyOnceProcessor {
  public:
    /// Connects in the background. Throws `std::invalid_argument` that lists every problem of `config`, and
    /// `std::system_error` where the process has no file descriptor left.
    ///
    /// `account` is charged for the client's copies of outputs in flight, as that of a `Producer`, and is the budget of
    /// its fetch queue, as that of a `Consumer`.
    ExactlyOnceProcessor(asio::any_io_executor executor, const ExactlyOnceConfig& config, MemoryAccount account = {});
    ExactlyOnceProcessor(ExactlyOnceProcessor&&) noexcept = default;
    ExactlyOnceProcessor& operator=(ExactlyOnceProcessor&&) noexcept;
    ~ExactlyOnceProcessor();

    /// Calls `handler(record, transaction)` for every record, with up to `options.max_in_flight` of them in progress: a
    /// coroutine `awaitable<void>`, or of any `Result`. Handlers of one partition start in its order. When a
    /// transaction is full or due, no more start; when those in progress have ended well, it is committed, and the next
    /// one begins. Ends with success after `stop` or `close`, when what was in progress is committed.
    ///
    /// The first failure of a handler ends the loop: the transaction is aborted, nothing of it is ever seen, and its
    /// records are read again, by the next loop or by whoever has their partitions then. What fails of a bad record
    /// belongs into a dead letter (`DeadLetterTopic{processor}`), which is written in the transaction, too.
    ///
    /// What goes wrong with the transaction itself and passes (brokers that are down, a coordinator that moves, a
    /// rebalance, a transaction that is as old as `transaction_timeout`) ends nothing: handlers in progress are
    /// cancelled, the transaction is aborted, its records are read again from the committed offsets, after a pause that
    /// grows from 100 ms to 10 s. A client that is broken is replaced.
    ///
    /// With `options.gate` a record that is held is handled again in its transaction. That is aborted instead if the
    /// handler has written something before it failed, when partitions are asked back, at `stop`, and at
    /// `transaction_timeout`.
    ///
    /// Errors:       the first handler's error or exception.
    ///               Errc::producer_fenced: another process came with this `transactional_id`.
    ///               Errors that another try cannot mend: a missing authorization, a wrong password, an output that a
    ///               broker refused (too large for its topic, say) after the client had taken it.
    ///               Those of `Consumer::for_each`, and the exceptions of its call.
    /// Cancellation: all kinds; it is passed on to the handlers in progress, and ends with Errc::cancelled when they
    ///               have ended. The transaction is aborted in the background; a commit that has begun goes on to its
    ///               end. Nothing is lost or seen twice either way.
    /// Lifetime:     as `Consumer::for_each`.
    template <TransactionalHandler Handler>
    asio::awaitable<Result<void>> for_each(ForEachOptions options, Handler handler) {
        return detail::run_exactly_once<Handler>(detail::ExactlyOnceLoop{core_, std::move(options)},
                                                 std::move(handler));
    }

    /// No more records: `for_each` ends when its handlers have and what they did is committed; at once where nothing of
    /// theirs can be, as while it pauses after a transaction that failed. May be called again.
    void stop();

    /// While paused no handlers start; an open transaction is committed when it is due.
    void pause();
    void resume();
    bool is_paused() const noexcept;

    /// The partitions that this member has now. `stored` is what was committed last, by this member.
    std::vector<PartitionPosition> assignment() const;

    /// As `Consumer::end_reached`, and nothing that was read is uncommitted.
    bool end_reached() const;

    /// Stops, commits what is in progress, and leaves the group, without blocking this thread; returns when that has
    /// happened or `at_most` has passed. What is not committed by then is aborted in the background. May be called
    /// again.
    ///
    /// Cancellation: all kinds; the wait throws `operation_aborted`. The loop is stopped by then, and what was in
    ///               progress is committed; to leave the group call it again, or destroy the processor.
    asio::awaitable<void> close(Duration at_most = std::chrono::seconds{10});

    ExactlyOnceStats get_stats() const;
    asio::any_io_executor get_executor() const;

  private:
    friend class DeadLetterTopic;
    std::shared_ptr<detail::ExactlyOnceCore> core_;
};

} // namespace velostream::kafka
