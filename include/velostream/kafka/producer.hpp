// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/base/result.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/kafka/detail/stored_handler.hpp"
#include "velostream/kafka/producer_config.hpp"
#include "velostream/kafka/record.hpp"

namespace velostream::kafka {

/// What a producer holds and has done.
struct ProducerStats {
    std::size_t in_flight = 0;         ///< handed over, not yet acknowledged; those given up are among them
    Bytes in_flight_bytes = 0;         ///< their bytes
    Bytes in_flight_limit = 0;         ///< what these may be at most: `max_in_flight_bytes` in force
    Bytes charged = 0;                 ///< to the account, for these; nothing but them is
    std::size_t queued = 0;            ///< messages in the client's own queues, and its reports that were not told yet
    std::size_t waiting = 0;           ///< sends that wait for room
    std::uint64_t sent = 0;            ///< acknowledged
    std::uint64_t failed = 0;          ///< ended with an error
    std::uint64_t given_up = 0;        ///< of these, ended by deadline or cancellation while still handed over
    std::uint64_t late_deliveries = 0; ///< acknowledged after they had been given up
    std::uint64_t sent_alone = 0;      ///< sent again by themselves, since a record of their batch was refused
    std::uint64_t sent_again = 0;      ///< sent again once, since the brokers found their batch damaged
    std::uint64_t reopened = 0;        ///< times the client had to be replaced after a fatal error
    std::string last_problem;          ///< what the client last complained of; empty after a successful delivery
};

namespace detail {

class ProducerCore;
using SendHandler = StoredHandler<void(Result<Delivery>)>;

/// What a send writes, wherever it is kept.
class Outgoing {
  public:
    Outgoing() noexcept = default;
    explicit Outgoing(const Record& record) noexcept : record_(&record) {}
    explicit Outgoing(const RecordView& view) noexcept : view_(&view) {}

    RecordView view() const noexcept { return view_ ? *view_ : record_view(*record_); }
    std::string_view topic() const noexcept { return view_ ? view_->topic : std::string_view{record_->topic}; }
    Bytes size_bytes() const noexcept;

  private:
    const Record* record_ = nullptr;
    const RecordView* view_ = nullptr;
};

SendHandler& new_send(ProducerCore& core);
void forget_send(ProducerCore& core, SendHandler& handler) noexcept; // one that was not started
const asio::any_io_executor& executor_of(const ProducerCore& core) noexcept;
void start_send(ProducerCore& core, SendHandler& handler, Outgoing record, const CallContext* call);

struct InitiateSend {
    ProducerCore* core;

    template <class Handler>
    void operator()(Handler&& handler, Outgoing record, const CallContext* call) const {
        auto& stored = new_send(*core);
        try {
            stored.emplace(std::forward<Handler>(handler), executor_of(*core));
        } catch (...) {
            forget_send(*core, stored);
            throw;
        }
        start_send(*core, stored, record, call);
    }
};

template <class SomeRecord, class Token>
auto initiate_send(ProducerCore& core, const SomeRecord& record, const CallContext* call, Token& token) {
    return asio::async_initiate<Token, void(Result<Delivery>)>(InitiateSend{&core}, token, Outgoing{record}, call);
}

} // namespace detail

/// Sends records, and says of each whether it was written.
///
/// Records of one partition enter its log in the order of the send calls, whatever is retried inside: the producer is
/// idempotent unless the properties say otherwise. A send that finds no room waits its turn, first come first served.
/// While no send is in progress, the producer does not keep the execution context running.
///
/// Brokers refuse a whole batch where one of its records is not well (`INVALID_RECORD`, such as a record without a key
/// for a topic that is compacted). Each of them is sent once more by itself then, so that only the bad one fails. The
/// others are written behind what was sent after them meanwhile. So are records whose batch was damaged on its way
/// (`INVALID_MSG`): they are sent once more, and fail if that happens again.
///
/// Threads:  one at a time: use it, and cancel its sends, on its executor only (a strand where that has several
///           threads). Completion handlers run through their own executors. The client library's threads run no code of
///           this library or of yours.
/// Lifetime: destruction does not block; sends in progress end with `Errc::producer_closed` and may not be written.
///           `close` first to have them written. The execution context may be destroyed at any time; then nothing is
///           left to do with the producer but to destroy it. Another context, through which a handler is to run, must
///           live until it has. An operation that is begun later, such as one of `asio::deferred`, must begin while the
///           producer lives, and go, begun or not, before the context. A cancellation signal may end before its send,
///           and be emitted, without effect, when send, context and producer have gone. Once a send was cancelled, the
///           slot of the emission is its owner's again; every other one is emptied.
class Producer {
  public:
    using SendSignature = void(Result<Delivery>);

    /// Throws `std::invalid_argument` that lists every problem of `config`, refused properties included, and
    /// `std::system_error` where the process has no file descriptor left.
    ///
    /// `account` is charged for the client's copies of the records in flight, a few KiB more while there are any, and
    /// is unlimited unless given. A send that finds no room there waits its turn until an earlier one has ended, as for
    /// `max_in_flight_bytes`; when nothing is in flight the next one goes in any case, uncharged if it must, so that
    /// nobody waits for ever.
    Producer(asio::any_io_executor executor, const ProducerConfig& config, MemoryAccount account = {});
    Producer(Producer&&) noexcept = default;
    Producer& operator=(Producer&&) noexcept;
    ~Producer();

    /// Writes `record` and waits until the brokers have it, or until `delivery_timeout` has passed.
    ///
    /// Errors:       Errc::send_timeout, or Errc::broker_unreachable or an authentication error where the cause is
    ///               known: it was certainly not written.
    ///               Errc::send_outcome_unknown: it may have been written, or still be; the cause is inside.
    ///               Errc::producer_closed.
    ///               Any code of `kafka_category()`: the brokers or the client refused it; not written.
    /// Cancellation: all kinds; ends with Errc::cancelled, with Errc::send_outcome_unknown inside if the client has the
    ///               record already. Its room is given back when the client lets go of it.
    /// Lifetime:     `record` must stay until the send has ended.
    asio::awaitable<Result<Delivery>> send(const Record& record) {
        return detail::initiate_send(*core_, record, nullptr, asio::use_awaitable);
    }

    /// The same as part of a guarded call: bounded also by `call.deadline()` and cancelled also by its slot.
    asio::awaitable<Result<Delivery>> send(const Record& record, const CallContext& call) {
        return detail::initiate_send(*core_, record, &call, asio::use_awaitable);
    }

    /// The same for a record of any type that has a view: it is written from where it lies. Partition -1 means chosen
    /// by the key; the offset means nothing.
    ///
    /// Lifetime: the view, and what it looks at, must stay until the send has ended.
    asio::awaitable<Result<Delivery>> send(const RecordView& record, const CallContext& call) {
        return detail::initiate_send(*core_, record, &call, asio::use_awaitable);
    }

    /// `send` for any completion token. A callback costs less than a coroutine, and in a coroutine `asio::deferred`
    /// costs less than `send`: `auto sending = producer.async_send(record, asio::deferred)`.
    ///
    /// Completes with: `Result<Delivery>`.
    template <asio::completion_token_for<SendSignature> Token>
    auto async_send(const Record& record, Token&& token) {
        return detail::initiate_send(*core_, record, nullptr, token);
    }
    template <asio::completion_token_for<SendSignature> Token>
    auto async_send(const Record& record, const CallContext& call, Token&& token) {
        return detail::initiate_send(*core_, record, &call, token);
    }
    template <asio::completion_token_for<SendSignature> Token>
    auto async_send(const RecordView& record, const CallContext& call, Token&& token) {
        return detail::initiate_send(*core_, record, &call, token);
    }

    /// Waits until nothing is in flight and nobody waits for room, records that were given up included.
    ///
    /// Completes with: `error_code`: success, or `operation_aborted` when it is cancelled, or when the producer or its
    ///                 context ends first. Through the handler's executor, or the producer's if it has none.
    /// Cancellation:   all kinds; leaves nothing behind. (A handler of another executor: until the client's next event
    ///                 the producer keeps its context running.)
    template <asio::completion_token_for<WaitQueue::Signature> Token>
    auto async_flush(Token&& token) {
        return asio::async_initiate<Token, WaitQueue::Signature>(
            [](auto handler, const std::shared_ptr<detail::ProducerCore>& core) {
                const auto& home = detail::executor_of(*core);
                const auto executor = asio::get_associated_executor(handler, home);
                const auto slot = asio::get_associated_cancellation_slot(handler);
                auto then = [producer = std::weak_ptr{core}, is_home = executor == home,
                             handler = std::move(handler)](boost::system::error_code code) mutable {
                    if (code && is_home) stop_flush(producer.lock());
                    std::move(handler)(code);
                };
                begin_flush(*core).async_wait_unless(
                    IsIdle{core.get()},
                    asio::bind_executor(executor, asio::bind_cancellation_slot(slot, std::move(then))));
            },
            token, core_);
    }

    /// Ends the producer: refuses new sends with `Errc::producer_closed`, waits up to `grace` for those in progress,
    /// and disconnects without blocking this thread. What is not written then ends as by destruction. May be called
    /// again: of several the shortest grace counts.
    ///
    /// Cancellation: all kinds; the wait throws `operation_aborted`, and the producer goes on closing.
    asio::awaitable<void> close(Duration grace = std::chrono::seconds{30});

    ProducerStats get_stats() const;
    asio::any_io_executor get_executor() const;

  private:
    friend class DeadLetterTopic;
    struct IsIdle {
        detail::ProducerCore* core;
        bool operator()() const noexcept;
    };

    static WaitQueue& begin_flush(detail::ProducerCore& core);
    static void stop_flush(const std::shared_ptr<detail::ProducerCore>& core);

    std::shared_ptr<detail::ProducerCore> core_;
};

} // namespace velostream::kafka
