// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
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
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/stack_trace.hpp"
#include "velostream/circuit_wait.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/flood_guard.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/core/spool_frame.hpp"
#include "velostream/core/spool_types.hpp"
#include "velostream/dead_letter_relay.hpp"
#include "velostream/spool.hpp"

namespace velostream {

/// Where a dead letter is safe now.
struct DeadLetterReceipt {
    std::int32_t partition = -1;  ///< of the dead letter topic; -1 if the sink has none
    std::int64_t offset = -1;     ///< -1 if the sink does not say
    std::uint32_t deliveries = 1; ///< how many it took
    bool spooled = false;         ///< on this machine's disk, and on its way to the topic from there
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
    std::uint64_t sent = 0;              ///< safe in the sink or in the spool
    std::uint64_t lost = 0;              ///< given up after the last delivery: the caller was told
    std::uint64_t refused = 0;           ///< not taken: the record is not to blame, or there was no memory
    std::uint64_t cancelled = 0;         ///< given up by the caller, or by an exception
    std::uint64_t in_flight = 0;         ///< on their way now, those held by the flood guard included
    std::uint64_t failed_deliveries = 0; ///< single deliveries that failed, whatever became of their record
    std::uint64_t spooled = 0;           ///< of `sent`, those that went into the spool
    std::uint64_t relayed = 0;           ///< came out of it and are safe in the sink
    SpoolStats spool = {};               ///< what it holds now

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
    /// Where what lies in the spool is delivered, and where `send_to_dlq` is called. Unless given, the sink's
    /// `get_executor()`.
    asio::any_io_executor executor = {};
    /// The circuit of what records need to be processed. While it is open, errors that do not blame the record are
    /// held.
    std::optional<CircuitWait> circuit = std::nullopt;
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
        void on_spooled(ErrorType type) noexcept {
            on_sent(type);
            is_spooled_ = true;
        }
        void on_delivery_failed();
        void on_lost() noexcept { end_ = End::lost; }
        void on_refused() noexcept { end_ = End::refused; }

      private:
        DeadLetterCounts& counts_;
        End end_ = End::cancelled;
        ErrorType type_ = ErrorType::unknown;
        bool is_spooled_ = false;
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

/// The flood guard of one queue. Threads: safe.
class DeadLetterFloods {
  public:
    explicit DeadLetterFloods(const DeadLetterQueueConfig& config)
        : is_on_(config.flood_guard.enabled), guard_(config.flood_guard) {}

    void record_processed() noexcept { processed_.fetch_add(1, std::memory_order_relaxed); } // a count
    std::optional<FloodGuard::Hold> on_letter(TimePoint now, const Error& error);

  private:
    const bool is_on_;
    std::atomic<std::uint64_t> processed_{0};
    std::mutex mutex_;
    FloodGuard guard_; // guarded by mutex_
};

Error not_to_blame(const Error& error);
Error dead_letter_lost(const DeadLetterQueueConfig& config, std::uint32_t deliveries, Error last_error);
Error own_dead_letter(const DeadLetterQueueConfig& config);

/// Both together: of a spool without room what the deadline hides.
Error not_spooled(const Error& spool_error, std::optional<Error> delivery_error);
/// Throws as `Result::value`.
Spool open_spool(const DeadLetterQueueConfig& config);

template <class Sink>
asio::any_io_executor executor_of_sink(const Sink& sink) {
    if constexpr (requires {
                      { sink.get_executor() } -> std::convertible_to<asio::any_io_executor>;
                  })
        return sink.get_executor();
    else
        throw std::invalid_argument{"spool_directory needs an executor: give DeadLetterQueueOptions::executor"};
}

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
    using TimeSourceType = Time;

    /// With `spool_directory` it opens the spool, which blocks, on the disk, and begins to deliver what lies there.
    ///
    /// Throws `std::invalid_argument` that lists every problem of `config`, or says that the spool has no executor, and
    /// `ErrorException` where the spool cannot be opened.
    explicit DeadLetterQueue(DeadLetterQueueConfig config, Sink sink, DeadLetterQueueOptions options = {},
                             Time time = {})
        : config_(validated(config)),
          options_(std::move(options)),
          sink_(std::make_shared<Sink>(std::move(sink))),
          time_(std::move(time)) {
        if (!config_.spool_directory.empty()) begin_relay(detail::open_spool(config_));
        options_.executor = {};
    }
    /// The same with a spool that is open already, whatever `config` says about one.
    DeadLetterQueue(DeadLetterQueueConfig config, Sink sink, Spool spool, DeadLetterQueueOptions options = {},
                    Time time = {})
        : config_(validated(config)),
          options_(std::move(options)),
          sink_(std::make_shared<Sink>(std::move(sink))),
          time_(std::move(time)) {
        begin_relay(std::move(spool));
    }
    DeadLetterQueue(const DeadLetterQueue&) = delete;
    DeadLetterQueue& operator=(const DeadLetterQueue&) = delete;
    ~DeadLetterQueue() { close(); }

    /// Stores `record`, which failed with `error`, and waits until it is safe.
    ///
    /// Up to 1 + `max_retries` deliveries, `retry_delay` apart, each with `delivery_timeout` to its deadline. The stack
    /// trace is that of the caller of this function.
    ///
    /// With a spool: after the first delivery that fails, and while others wait there, it goes to the disk. Where that
    /// has no room it waits for some, for `delivery_timeout`; then, and where the disk fails, all of this is tried
    /// again after `retry_delay`, 1 + `max_retries` times in all.
    ///
    /// Completes with: where the dead letter is; or
    ///                 Errc::record_not_to_blame (the error inside): the policy does not take such errors, or, after a
    ///                 wait, there was a flood of them or the circuit was open; hold the record and try it again;
    ///                 Errc::dead_letter_lost (the last error inside, of the spool if there is one, and in that the
    ///                 delivery's): no delivery succeeded;
    ///                 Errc::invalid_configuration: the record was read from the dead letter topic itself, where it
    ///                 would go round for ever;
    ///                 Errc::memory_limit_exceeded: the account lacks room for it now, or that of the circuit for one
    ///                 who waits; hold the record and try again;
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
        auto trace = config_.include_stack_trace ? StackTrace::capture_behind(error.thrown_at()) : StackTrace{};
        return deliver<Held>(std::forward<Record>(record), std::move(error), failure, std::move(trace));
    }

    /// A record was processed: by this the flood guard knows a few failures among many records from an outage.
    void record_processed() noexcept { flood_.record_processed(); }

    /// Ends delivery from the spool, which keeps the execution context at work as long as something lies there. What
    /// has not arrived stays on the disk, for the next queue with this folder.
    void close() noexcept {
        if (relay_) relay_->close();
    }

    DeadLetterQueueStats get_stats() const {
        auto stats = counts_.snapshot();
        if (relay_) {
            stats.relayed = relay_->relayed();
            stats.spool = relay_->spool().get_stats();
        }
        return stats;
    }

    const DeadLetterQueueConfig& config() const noexcept { return config_; }
    const Time& time() const noexcept { return time_; }

  private:
    using Receipt = Result<DeadLetterReceipt>;
    using InFlight = detail::DeadLetterCounts::InFlight;
    using Relay = detail::DeadLetterRelay<Sink, Time>;

    void begin_relay(Spool spool) {
        const auto given = std::exchange(options_.executor, {}); // the queue may outlive its context
        const auto executor = given ? given : detail::executor_of_sink(*sink_);
        relay_ = std::make_shared<Relay>(std::move(spool), sink_, time_, config_, options_.observer, executor);
        relay_->start();
    }

    asio::awaitable<Receipt> refuse(Error error) {
        counts_.on_refused();
        co_return detail::not_to_blame(error);
    }

    template <class Held>
    asio::awaitable<Receipt> deliver(Held record, Error error, FailureDetails failure, StackTrace trace) {
        InFlight in_flight{counts_};
        if (const auto held = why_held(error)) {
            auto holding = refuse_after(*held, error, in_flight);
            co_return co_await std::move(holding);
        }
        const auto letter = letter_of(record, error, failure, trace);
        if (!letter) {
            in_flight.on_lost();
            co_return detail::own_dead_letter(config_);
        }
        MemoryReservation reserved;
        if (!reserve(letter->size_bytes(), reserved, error)) {
            in_flight.on_refused();
            co_return error;
        }

        OnItsWay way{*letter, error, reserved, in_flight};
        for (;; ++way.delivery) {
            const auto cancellation = co_await asio::this_coro::cancellation_state;
            CallContext call{saturating_add(time_.now(), config_.delivery_timeout)};
            call.begin_attempt(way.delivery, CallContext::no_deadline);
            call.set_cancellation_slot(cancellation.slot());
            call.set_idempotent(true);
            way.goes_to_sink = true;
            Receipt stored = DeadLetterReceipt{};
            try {
                if (relay_) {
                    auto asking = relay_->is_open();
                    way.goes_to_sink = co_await std::move(asking);
                }
                if (way.goes_to_sink) {
                    auto storing = sink_->store(*letter, call);
                    stored = co_await std::move(storing);
                }
            } catch (...) {
                stored = Error::from_exception(std::current_exception());
            }
            if (way.goes_to_sink && stored) {
                stored->deliveries = way.delivery;
                in_flight.on_sent(error.type());
                if (options_.observer) options_.observer->on_dead_letter_stored({config_.topic, error});
                co_return stored;
            }
            if (cancellation.cancelled() != asio::cancellation_type::none) co_return Error{Errc::cancelled};
            auto going_on = go_on(way, stored);
            if (co_await std::move(going_on)) co_return stored;
        }
    }

    // What the coroutine of a dead letter has.
    struct OnItsWay {
        const DeadLetter& letter;
        const Error& error;
        MemoryReservation& reserved;
        InFlight& in_flight;
        std::uint32_t delivery = 1;
        bool goes_to_sink = true; // not past those who wait in the spool
    };

    // Or `refusal` is why not.
    bool reserve(Bytes bytes, MemoryReservation& reserved, Error& refusal) {
        auto granted = options_.account.try_reserve(bytes);
        if (granted)
            reserved = std::move(*granted);
        else
            refusal = granted.error();
        return granted.has_value();
    }

    // After a delivery that failed or was not tried: into the spool, or a pause. True if `stored` is the answer, else
    // the next delivery's turn has come. Its frame is apart, since few letters need it: that of each letter on its way
    // has to stay below the size from which on the C library's allocator tidies up at every request.
    asio::awaitable<bool> go_on(OnItsWay& way, Receipt& stored) {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        const auto end_with = [&stored](Error error) {
            stored = std::move(error);
            return true;
        };
        if (way.goes_to_sink) way.in_flight.on_delivery_failed();

        if (relay_) {
            const auto delivery_error = stored ? std::optional<Error>{} : stored.error();
            auto spooling = spool(way.letter, way.reserved, delivery_error);
            stored = co_await std::move(spooling);
            if (stored) {
                stored->deliveries = way.delivery - (way.goes_to_sink ? 0 : 1);
                way.in_flight.on_spooled(way.error.type());
                if (options_.observer)
                    options_.observer->on_dead_letter_spooled({config_.topic, way.error, relay_->spool().waiting()});
                co_return true;
            }
            if (cancellation.cancelled() != asio::cancellation_type::none) co_return end_with(Errc::cancelled);
        }
        auto why = stored.error();
        if (way.delivery > config_.max_retries) {
            way.in_flight.on_lost();
            co_return end_with(detail::dead_letter_lost(config_, way.delivery, std::move(why)));
        }
        if (options_.observer) options_.observer->on_dead_letter_delayed({config_.topic, way.delivery, why});
        const auto executor = co_await asio::this_coro::executor;
        const auto [interrupted] = co_await async_sleep_until(
            time_, executor, saturating_add(time_.now(), config_.retry_delay), asio::as_tuple(asio::use_awaitable));
        if (!interrupted) co_return false;
        co_return end_with(Errc::cancelled);
    }

    // The source must stand still until then; or, without a time, until the circuit is not open.
    struct Standstill {
        std::optional<TimePoint> until;
    };
    std::optional<Standstill> why_held(const Error& error) {
        if (options_.circuit && !error.blames_record() && options_.circuit->is_open()) return Standstill{};
        const auto hold = flood_.on_letter(time_.now(), error);
        if (!hold) return std::nullopt;
        if (hold->begins && options_.observer)
            options_.observer->on_dead_letter_flood({config_.topic, hold->why, config_.flood_guard.hold, error});
        return Standstill{hold->until};
    }

    // Waits until then, and refuses the record: it is tried again, and may go well. In a frame of its own, as `go_on`.
    asio::awaitable<Receipt> refuse_after(Standstill held, const Error& error, InFlight& in_flight) {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        Error refusal; // no memory to wait
        if (held.until) {
            const auto executor = co_await asio::this_coro::executor;
            auto sleeping = async_sleep_until(time_, executor, *held.until, asio::as_tuple(asio::use_awaitable));
            co_await std::move(sleeping);
        } else {
            auto waiting = options_.circuit->until_ready();
            const auto ready = co_await std::move(waiting);
            if (!ready && ready.error() != Errc::cancelled) refusal = ready.error(); // the breaker may have ended
        }
        if (cancellation.cancelled() != asio::cancellation_type::none) co_return Error{Errc::cancelled};
        in_flight.on_refused();
        co_return refusal.code() ? refusal : detail::not_to_blame(error);
    }

    // Waits for room there as long as a delivery may take.
    asio::awaitable<Receipt> spool(const DeadLetter& letter, MemoryReservation& reserved,
                                   std::optional<Error> delivery_error) {
        Result<std::uint64_t> appended = std::uint64_t{0};
        try {
            if (reserved.bytes() == letter.size_bytes()) // the disk gets a copy
                if (const auto grown = reserved.try_grow(letter.size_bytes()); !grown) co_return grown.error();
            auto payload = SpooledRecord::encoded(letter.record());
            const auto deadline = saturating_add(time_.now(), config_.delivery_timeout);
            auto appending = relay_->spool().async_append(std::move(payload), deadline, time_, asio::use_awaitable);
            appended = co_await std::move(appending);
        } catch (...) {
            appended = Error::from_exception(std::current_exception());
        }
        if (appended) co_return DeadLetterReceipt{.spooled = true};
        co_return detail::not_spooled(appended.error(), std::move(delivery_error));
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
    std::shared_ptr<Sink> sink_;
    Time time_;
    detail::DeadLetterCounts counts_;
    detail::DeadLetterSerials serials_;
    detail::DeadLetterFloods flood_{config_};
    std::shared_ptr<Relay> relay_; // null without a spool
};

} // namespace velostream
