// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/async/lane_turns.hpp"
#include "velostream/async/operation.hpp"
#include "velostream/async/policy.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/reprocess_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/retry_executor.hpp"

namespace velostream {

/// What became of a record.
struct ProcessedRecord {
    std::optional<DeadLetterReceipt> dead_letter; ///< where it is, if it could not be processed
};

namespace detail {

/// What a record waits in; nothing for one that waits for no other.
std::optional<std::string> lane_of(const RecordView& record, Reprocess mode);
/// The mode itself. Throws `std::invalid_argument` for one in which records do not wait here.
Reprocess waiting_here(Reprocess mode);
/// The last error of all tries.
Error last_error(const Error& error);
/// When the first and the last of several tries failed: an executor that does not know when they began counts the time
/// from the first failure.
FailureDetails failure_of(const Error& error);

/// A call that is made once, and ends with what its operation made of it: tries that it counted itself are kept.
class OneTry {
  public:
    class Guard {
      public:
        explicit Guard(OneTry&) noexcept {}
        Decision before(CallContext&) noexcept { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, const Error&) noexcept { return Verdict::pass_on(); }
    };
};

} // namespace detail

/// Processes records, tries again those that failed, and makes dead letters of those that keep failing, which say how
/// often they were tried, and when the first and the last try failed; with `Reprocess::off`, as the operation's own
/// `RetryExecutor` has it, if it has one:
///
///     RecordProcessor processor{dead_letters, {.mode = Reprocess::parked}};
///     auto handler = [&](const kafka::ConsumedRecord& record) {
///         return processor.process(record, [&] { return store(record); });
///     };
///
/// With `Reprocess::parked` records of one key are processed in their order, whatever is tried again, and other keys go
/// on. How many records wait at once is for the consumer to bound (`max_in_flight`, `memory`); offsets are committed up
/// to the first that is not done.
///
/// Threads:  as the queue.
/// Lifetime: it and the queue must outlive its calls.
template <class Queue>
class RecordProcessor {
    using Time = typename Queue::TimeSourceType;

  public:
    /// Throws `std::invalid_argument` that lists every problem of `config`; `Reprocess::topic` is for
    /// `kafka::RetryTopics`.
    RecordProcessor(Queue& dead_letters, const ReprocessConfig& config)
        : dead_letters_(dead_letters),
          mode_(detail::waiting_here(validated(config).mode)),
          retry_(retries(config), nullptr, dead_letters.time()) {}

    /// Runs `operation` for `record`, and again as the config says. The record's place in its order is taken when this
    /// is called, not when it is awaited.
    ///
    /// Completes with: success when the record is done with, processed or safe as a dead letter; else the error of
    ///                 `send_to_dlq`, or Errc::cancelled: the record must be held.
    /// Cancellation:   all kinds go to the operation, and end every wait. What was cancelled becomes no dead letter.
    /// Lifetime:       `record` must stay until completion.
    template <ViewableRecord Record, AsyncOperation Operation>
    asio::awaitable<Result<ProcessedRecord>> process(const Record& record, Operation operation) {
        auto lane = detail::lane_of(record_view(record), mode_);
        auto turn = lane ? std::optional{turns_.enter(std::move(*lane))} : std::nullopt;
        return run(record, std::move(operation), std::move(turn));
    }

  private:
    static RetryConfig retries(const ReprocessConfig& config) {
        return {.max_retries = config.max_retries, .backoff_strategy = FixedInterval{config.retry_delay}};
    }

    template <class Record, class Operation>
    asio::awaitable<Result<ProcessedRecord>> run(const Record& record, Operation operation,
                                                 std::optional<LaneTurns::Turn> turn) {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        const auto is_cancelled = [&] { return cancellation.cancelled() != asio::cancellation_type::none; };
        if (turn && !turn->has_come() && !is_cancelled()) {
            auto waiting = turn->async_wait(asio::as_tuple(asio::use_awaitable));
            const auto [interrupted] = co_await std::move(waiting);
            if (interrupted) co_return Error{Errc::cancelled};
        }
        if (is_cancelled()) co_return Error{Errc::cancelled};
        auto processing = mode_ == Reprocess::off
                              ? detail::guarded_call(detail::own_frame, std::move(operation), CallOptions{}, once_)
                              : retry_.execute_with_retry(std::move(operation));
        const auto processed = co_await std::move(processing);
        if (processed) {
            dead_letters_.record_processed();
            co_return ProcessedRecord{};
        }
        if (is_cancelled()) co_return Error{Errc::cancelled};
        const auto error = processed.error();
        auto sending = dead_letters_.send_to_dlq(record, detail::last_error(error), detail::failure_of(error));
        const auto sent = co_await std::move(sending);
        if (!sent) co_return sent.error();
        co_return ProcessedRecord{.dead_letter = *sent};
    }

    Queue& dead_letters_;
    const Reprocess mode_;
    [[no_unique_address]] detail::OneTry once_; // instead of `retry_`, where nothing is tried again
    RetryExecutor<Time> retry_;
    LaneTurns turns_;
};

} // namespace velostream
