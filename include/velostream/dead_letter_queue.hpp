// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/stack_trace.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/record_view.hpp"

namespace velostream {

/// Where a dead letter is safe now.
struct DeadLetterReceipt {
    std::int32_t partition = -1;  ///< of the dead letter topic; -1 if the sink has none
    std::int64_t offset = -1;     ///< -1 if the sink does not say
    std::uint32_t deliveries = 1; ///< how many it took
};

/// A place for dead letters: `store(letter, call)` completes with success only when the letter is safe there, and no
/// later than `call.deadline()`. It may be called again with a letter that did arrive: readers know it by its id. It is
/// cancelled as a coroutine, or, where it waits for something that is none, through `call.cancellation_slot()`.
template <class Sink>
concept DeadLetterSink =
    std::move_constructible<Sink> && requires(Sink& sink, const DeadLetter& letter, CallContext& call) {
        { sink.store(letter, call) } -> std::same_as<asio::awaitable<Result<DeadLetterReceipt>>>;
    };

/// What a queue did so far, and what it is doing. Every record that was given to it is counted in exactly one of
/// `sent`, `lost`, `refused`, `cancelled` and `in_flight`.
struct DeadLetterQueueStats {
    std::uint64_t sent = 0;              ///< safe in the sink
    std::uint64_t lost = 0;              ///< given up after the last delivery: the caller was told
    std::uint64_t refused = 0;           ///< not taken: the record is not to blame, or there was no memory
    std::uint64_t cancelled = 0;         ///< given up by the caller, or by an exception
    std::uint64_t in_flight = 0;         ///< on their way now
    std::uint64_t failed_deliveries = 0; ///< single deliveries that failed, whatever became of their record

    /// Of `sent`, those that failed with an error of this type.
    std::uint64_t sent_by_type(ErrorType type) const noexcept { return by_type[static_cast<std::size_t>(type)]; }

    std::array<std::uint64_t, static_cast<std::size_t>(ErrorType::unknown) + 1> by_type{};
};

/// What dead letters say about this program, who is told, and what they are charged to. Every field may stay empty.
struct DeadLetterQueueOptions {
    std::string application = {}; ///< the program or query
    std::string instance = {};    ///< which copy of it
    std::string group = {};       ///< the consumer group
    std::string handler = {};     ///< the part of the program that dead-letters here
    std::shared_ptr<Observer> observer = nullptr;
    MemoryAccount account = {}; ///< where dead letters on their way are charged; unlimited unless given
};

namespace detail {

/// The counts of one queue. Threads: safe.
class DeadLetterCounts {
  public:
    enum class End : std::uint8_t { sent, lost, refused, cancelled };

    /// One dead letter on its way: counted as cancelled unless it is told another end.
    class InFlight {
      public:
        explicit InFlight(DeadLetterCounts& counts);
        InFlight(const InFlight&) = delete;
        InFlight& operator=(const InFlight&) = delete;
        ~InFlight();

        void on_sent(ErrorType type) noexcept {
            end_ = End::sent;
            type_ = type;
        }
        void on_delivery_failed();
        void on_lost() noexcept { end_ = End::lost; }
        void on_refused() noexcept { end_ = End::refused; }

      private:
        DeadLetterCounts& counts_;
        End end_ = End::cancelled;
        ErrorType type_ = ErrorType::unknown;
    };

    void on_refused();
    DeadLetterQueueStats snapshot() const;

  private:
    mutable std::mutex mutex_;
    DeadLetterQueueStats stats_;
};

/// Names that no two dead letters share, in this process or another. Threads: safe.
class DeadLetterSerials {
  public:
    DeadLetterSerials();
    std::string next();

  private:
    std::string prefix_; // random
    std::atomic<std::uint64_t> next_ = 1;
};

Error not_to_blame(const Error& error);
Error dead_letter_lost(const DeadLetterQueueConfig& config, std::uint32_t deliveries, Error last_error);
Error own_dead_letter(const DeadLetterQueueConfig& config);

} // namespace detail

/// Brings records that cannot be processed to a place where they are safe, with all that is known about the failure.
///
/// `co_await dead_letters.send_to_dlq(record, error)` completes with success only when the sink has acknowledged the
/// dead letter, so that the source may advance past the record. Any other answer means: do not advance.
///
/// Threads:  safe to share; the record of one call belongs to that call.
/// Lifetime: the queue must outlive its calls.
template <DeadLetterSink Sink, TimeSource Time = SteadyTime>
class DeadLetterQueue {
  public:
    /// Throws `std::invalid_argument` that lists every problem of `config`.
    explicit DeadLetterQueue(DeadLetterQueueConfig config, Sink sink, DeadLetterQueueOptions options = {},
                             Time time = {})
        : config_(validated(config)), options_(std::move(options)), sink_(std::move(sink)), time_(std::move(time)) {}

    DeadLetterQueue(const DeadLetterQueue&) = delete;
    DeadLetterQueue& operator=(const DeadLetterQueue&) = delete;

    /// Stores `record`, which failed with `error`, and waits until it is safe.
    ///
    /// Up to 1 + `max_retries` deliveries, `retry_delay` apart, each with `delivery_timeout` to its deadline. The stack
    /// trace is that of the caller of this function.
    ///
    /// Completes with: where the dead letter is; or
    ///                 Errc::record_not_to_blame (the error inside): the policy does not take such errors; hold the
    ///                 record and try it again;
    ///                 Errc::dead_letter_lost (the last delivery's error inside): no delivery succeeded;
    ///                 Errc::invalid_configuration: the record was read from the dead letter topic itself, where it
    ///                 would go round for ever;
    ///                 Errc::memory_limit_exceeded: the account lacks room for it now; hold the record and try again;
    ///                 Errc::cancelled.
    /// Cancellation:   whatever kinds reach the coroutine, at any point; leaves nothing behind. A delivery that had
    ///                 begun may still arrive.
    /// Lifetime:       a record given as an lvalue must stay until completion; an rvalue is moved in.
    template <class Record>
        requires ViewableRecord<std::remove_cvref_t<Record>>
    asio::awaitable<Result<DeadLetterReceipt>> send_to_dlq(Record&& record, Error error, FailureDetails failure = {}) {
        using Plain = std::remove_cvref_t<Record>;
        using Held = std::conditional_t<std::is_lvalue_reference_v<Record>, const Plain&, Plain>;
        if (!takes(config_.accept, error)) return refuse(std::move(error));
        // Here and not in the coroutine: that one no longer has its caller on the stack.
        auto trace = config_.include_stack_trace ? StackTrace::capture() : StackTrace{};
        return deliver<Held>(std::forward<Record>(record), std::move(error), failure, std::move(trace));
    }

    DeadLetterQueueStats get_stats() const { return counts_.snapshot(); }

    const DeadLetterQueueConfig& config() const noexcept { return config_; }

  private:
    using Receipt = Result<DeadLetterReceipt>;
    using InFlight = detail::DeadLetterCounts::InFlight;

    asio::awaitable<Receipt> refuse(Error error) {
        counts_.on_refused();
        co_return detail::not_to_blame(error);
    }

    template <class Held>
    asio::awaitable<Receipt> deliver(Held record, Error error, FailureDetails failure, StackTrace trace) {
        InFlight in_flight{counts_};
        const auto made = letter_of(record, error, failure, trace);
        if (!made) {
            in_flight.on_lost();
            co_return detail::own_dead_letter(config_);
        }
        const auto& letter = *made;
        const auto reserved = options_.account.try_reserve(letter.size_bytes());
        if (!reserved) {
            in_flight.on_refused();
            co_return reserved.error();
        }

        const auto executor = co_await asio::this_coro::executor;
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        for (std::uint32_t delivery = 1;; ++delivery) {
            CallContext call{saturating_add(time_.now(), config_.delivery_timeout)};
            call.begin_attempt(delivery, CallContext::no_deadline);
            call.set_cancellation_slot(cancellation.slot());
            call.set_idempotent(true);
            Receipt stored = DeadLetterReceipt{};
            try {
                stored = co_await sink_.store(letter, call);
            } catch (...) {
                stored = Error::from_exception(std::current_exception());
            }
            if (stored) {
                stored->deliveries = delivery;
                in_flight.on_sent(error.type());
                if (options_.observer) options_.observer->on_dead_letter_stored({config_.topic, error});
                co_return stored;
            }

            if (cancellation.cancelled() != asio::cancellation_type::none) co_return Error{Errc::cancelled};
            in_flight.on_delivery_failed();
            auto delivery_error = stored.error();
            if (delivery > config_.max_retries) {
                in_flight.on_lost();
                co_return detail::dead_letter_lost(config_, delivery, std::move(delivery_error));
            }
            if (options_.observer) options_.observer->on_dead_letter_delayed({config_.topic, delivery, delivery_error});
            const auto [interrupted] = co_await async_sleep_until(
                time_, executor, saturating_add(time_.now(), config_.retry_delay), asio::as_tuple(asio::use_awaitable));
            if (interrupted) co_return Error{Errc::cancelled};
        }
    }

    // Nothing for a record of the dead letter topic itself. Not in the coroutine, whose frame stays while the letter is
    // on its way: it should be small.
    template <class Record>
    std::optional<DeadLetter> letter_of(const Record& record, const Error& error, const FailureDetails& failure,
                                        const StackTrace& trace) {
        const auto view = record_view(record);
        if (view.topic == config_.topic) return std::nullopt;
        const auto serial = view.offset < 0 ? serials_.next() : std::string{};
        const DeadLetterContext context{
            .application = options_.application,
            .instance = options_.instance,
            .group = options_.group,
            .handler = options_.handler,
            .stack_trace = trace.text(),
            .serial = serial,
            .now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()),
            .failure = failure};
        return make_dead_letter(view, error, config_, context);
    }

    DeadLetterQueueConfig config_;
    DeadLetterQueueOptions options_;
    Sink sink_;
    Time time_;
    detail::DeadLetterCounts counts_;
    detail::DeadLetterSerials serials_;
};

} // namespace velostream
