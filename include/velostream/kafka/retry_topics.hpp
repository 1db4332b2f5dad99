// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/this_coro.hpp>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "velostream/async/operation.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/reprocess_config.hpp"
#include "velostream/core/retry_headers.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/consumed_record.hpp"
#include "velostream/kafka/consumer_config.hpp"
#include "velostream/kafka/detail/retry_desk.hpp"
#include "velostream/kafka/for_each_options.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/kafka/retry_topics_options.hpp"

namespace velostream::kafka {

/// `(const ConsumedRecord&) -> awaitable<T>`, or of `Result<T>`. A thrown exception is a failure.
template <class Operation>
concept RecordOperation = std::move_constructible<Operation> && std::invocable<Operation&, const ConsumedRecord&> &&
                          is_awaitable<std::invoke_result_t<Operation&, const ConsumedRecord&>>;

/// `Reprocess::topic`: records that failed wait for their next try in a topic of their own, so that nothing waits for
/// them, and become dead letters after the last one.
///
///     kafka::RetryTopics retries{producer, source, dead_letters, {.mode = Reprocess::topic}, store};
///     co_await retries.ensure_topics(admin);
///     asio::co_spawn(io, retries.run(), …);
///     auto handler = [&](const kafka::ConsumedRecord& record) { return retries.process(record); };
///     co_await consumer.for_each({}, handler);
///
/// A record of `orders` that failed with an error that another try may mend goes to `orders-retry-60000` (the delay in
/// milliseconds): same key, value and headers, and those that Spring's retry topics have. Its source may advance when
/// the brokers have acknowledged that. `run` reads the retry topics, as a group of its own, as Spring names it:
/// `<group>-retry-60000`. So neither has to wait for the other, rebalances of one leave the other alone, and a program
/// of Spring's can take over where this one has stopped, or the other way round.
///
/// No record is processed before its time by the wall clock. Those of a partition are started in its order, those of a
/// key one after the other. But later records of the key that did not fail are not waited for: they have been processed
/// meanwhile.
///
/// At least once, as everything: after a crash, and where nobody knows whether a publication was written, a record may
/// be processed more often than it was counted.
///
/// Threads:  one at a time, on the producer's executor.
/// Lifetime: the producer and the queue must outlive it and its calls. Destruction stops `run`, which may end later.
template <class Queue, RecordOperation Operation>
class RetryTopics {
  public:
    /// `source` is the config of the consumer whose records `process` is given; its topics must be named, not described
    /// by a regular expression. Retry topics are read from their beginning whatever it says. Connects to nothing yet.
    /// How long retry topics keep records, and whether headers tell of the error and the stack, is as the config of the
    /// queue says.
    ///
    /// Throws `std::invalid_argument` that lists every problem.
    RetryTopics(Producer& producer, const ConsumerConfig& source, Queue& dead_letters, const ReprocessConfig& config,
                Operation operation, RetryTopicsOptions options = {})
        : state_(std::make_shared<State>(producer, source, dead_letters, config, std::move(operation),
                                         std::move(options))) {}
    RetryTopics(RetryTopics&&) noexcept = default;
    RetryTopics& operator=(RetryTopics&& other) noexcept {
        RetryTopics taken{std::move(other)};
        state_.swap(taken.state_);
        return *this;
    }
    ~RetryTopics() {
        if (state_) state_->desk.stop();
    }

    /// Sees to it that the retry topics are there: creates those that are not, with as many partitions as the original
    /// topic, without compaction, for the queue's `retention_period`. One that exists is left as it is.
    ///
    /// Errors:       those of `Admin::partitions` (of the original topic) and `Admin::create_topics`; the detail names
    ///               the retry topic. A program that may not create topics needs them to be there.
    /// Cancellation: all kinds, by an exception as usual in Asio.
    asio::awaitable<Result<void>> ensure_topics(Admin admin, Duration timeout = std::chrono::seconds{30}) const {
        return ensure(state_, std::move(admin), timeout);
    }

    /// Runs the operation for a record of the source. The handler of its loop.
    ///
    /// Completes with: success when the record is done with: processed, acknowledged by the retry topic, or safe as a
    ///                 dead letter. Else the record must be held: the error of the publication (one that the topic
    ///                 refuses as too large becomes a dead letter at once), or that of `send_to_dlq`, or
    ///                 Errc::cancelled.
    /// Cancellation:   all kinds go to the operation, and end every wait. A publication that had begun may still
    ///                 arrive.
    /// Lifetime:       `record` must stay until completion.
    asio::awaitable<Result<void>> process(const ConsumedRecord& record) { return attempt(state_, record); }

    /// Reads the retry topics, and processes each record when it is due. Ends with success after `stop` or `close`,
    /// when the attempts in progress have ended. Records that wait then are left to whoever reads on.
    ///
    /// A record that waits is a record in progress: `max_in_flight` and `memory` bound how many are held; the others
    /// stay where they are, also those of another partition that are due meanwhile, so that they may be late by up to
    /// the delay. `gate` is for the breaker of what the operation calls. `memory` is also the budget of their reader's
    /// fetch queue, if the source's config leaves its size open.
    ///
    /// Errors, cancellation, lifetime: as `Consumer::for_each`, and as `process`. Once.
    asio::awaitable<Result<void>> run(ForEachOptions options = {}) { return read(state_, std::move(options)); }

    /// No more records: what waits is left at once, and attempts in progress end. `process` goes on. May be called
    /// again.
    void stop() { state_->desk.stop(); }

    /// Stops, and leaves the group of the retry topics, as `Consumer::close`. For a clean end, when `run` has ended.
    asio::awaitable<void> close(Duration at_most = std::chrono::seconds{10}) { return leave(state_, at_most); }

    RetryTopicsStats get_stats() const { return state_->desk.stats; }

    /// The retry topics, in the order of the source's.
    const std::vector<std::string>& topics() const noexcept { return state_->desk.topics(); }
    /// The group that reads them.
    const std::string& group() const noexcept { return state_->desk.group(); }

  private:
    struct State {
        State(Producer& producer, const ConsumerConfig& source, Queue& letters, const ReprocessConfig& config,
              Operation what, RetryTopicsOptions options)
            : desk(producer, source, letters.config(), config, std::move(options)),
              dead_letters(letters),
              operation(std::move(what)) {}

        detail::RetryDesk desk;
        Queue& dead_letters;
        Operation operation;
        std::optional<Error> late_failure; // of an attempt, after `stop`
    };
    using Kept = std::shared_ptr<State>; // by every coroutine: `RetryTopics` may go first

    static asio::awaitable<Result<void>> ensure(Kept state, Admin admin, Duration timeout) {
        auto ensuring = state->desk.ensure_topics(std::move(admin), timeout);
        co_return co_await std::move(ensuring);
    }

    static asio::awaitable<Result<void>> operate(State& state, const ConsumedRecord& record) {
        try {
            auto operating = state.operation(record);
            if constexpr (std::same_as<decltype(operating), asio::awaitable<void>>) {
                co_await std::move(operating);
            } else {
                auto outcome = co_await std::move(operating);
                if constexpr (requires { outcome.error(); })
                    if (!outcome) co_return outcome.error();
            }
            co_return Result<void>{};
        } catch (...) {
            co_return Error::from_exception(std::current_exception());
        }
    }

    static asio::awaitable<Result<void>> attempt(Kept state, const ConsumedRecord& record) {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        const auto is_cancelled = [&] { return cancellation.cancelled() != asio::cancellation_type::none; };
        auto& desk = state->desk;
        if (desk.is_of_retry_topic(record)) ++desk.stats.processed_again;
        auto operating = operate(*state, record);
        const auto processed = co_await std::move(operating);
        if (processed) {
            state->dead_letters.record_processed();
            co_return processed;
        }
        if (is_cancelled()) co_return Error{Errc::cancelled};
        const auto error = processed.error();
        const auto note = desk.note_of(record);
        if (desk.tries_again(error, note)) {
            auto publishing = desk.publish(record, note, error);
            const auto published = co_await std::move(publishing);
            if (published || !detail::RetryDesk::is_too_large(published.error())) co_return published;
            if (is_cancelled()) co_return Error{Errc::cancelled};
        }
        auto burying = bury(*state, record, note, error);
        co_return co_await std::move(burying);
    }

    // What retry topics have added is not the record's; what one of the source has is.
    static asio::awaitable<Result<void>> bury(State& state, const ConsumedRecord& record, const RetryNote& note,
                                              const Error& error) {
        const auto view = record_view(record);
        const bool has_waited = state.desk.is_of_retry_topic(record);
        const auto headers = has_waited ? headers_without_retries(view.headers) : std::vector<HeaderView>{};
        const auto letter = has_waited ? first_record(view, note, headers) : view;
        auto sending =
            state.dead_letters.send_to_dlq(letter, error.with_attempts(std::max(note.attempt, error.attempts())));
        const auto sent = co_await std::move(sending);
        if (!sent) co_return sent.error();
        ++state.desk.stats.dead_letters;
        co_return Result<void>{};
    }

    static asio::awaitable<Result<void>> attempt_when_due(Kept state, const ConsumedRecord& record,
                                                          detail::RetryDesk::Place place) {
        auto waiting = state->desk.until_due(place, record);
        const auto due = co_await std::move(waiting);
        if (!due) co_return due;
        auto attempting = attempt(state, record);
        const auto done = co_await std::move(attempting);
        if (!done && state->desk.is_stopped() && !state->late_failure) state->late_failure = done.error();
        co_return done;
    }

    static asio::awaitable<Result<void>> read(Kept state, ForEachOptions options) {
        auto& desk = state->desk;
        if (desk.is_stopped()) co_return Result<void>{};
        const bool has_gate = static_cast<bool>(options.gate);
        // Its place is taken when the loop calls it: in the order of the partition.
        auto handler = [state](const ConsumedRecord& record) {
            return attempt_when_due(state, record, state->desk.enter(record));
        };
        auto& reader = desk.reader(options.memory);
        auto reading = reader.for_each(std::move(options), std::move(handler));
        const auto ended = co_await std::move(reading);
        if (ended || !desk.is_stopped() || ended.error() != Errc::consumer_closed) co_return ended;
        if (state->late_failure && !has_gate) co_return *state->late_failure; // those that were left ended before it
        co_return Result<void>{};
    }

    static asio::awaitable<void> leave(Kept state, Duration at_most) {
        state->desk.stop();
        auto* const reader = state->desk.reader_if_any();
        if (!reader) co_return;
        auto closing = reader->close(at_most);
        co_await std::move(closing);
    }

    Kept state_;
};

} // namespace velostream::kafka
