// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "velostream/async/context_membership.hpp"
#include "velostream/async/operation.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/kafka/consumed_record.hpp"
#include "velostream/kafka/detail/stored_handler.hpp"
#include "velostream/kafka/for_each_options.hpp"

namespace velostream::kafka::detail {

class ConsumerCore;
class RecordRecovery;

/// Where to be done means more than that the handler has ended: it says whether the next record may start, and is told
/// of every one that does. All on the loop's executor.
class RecordGate {
  public:
    /// If not, `RecordLoop::serve` is to be called when it may.
    virtual bool admits(const ConsumedRecord& record) = 0;
    virtual void on_started(const ConsumedRecord& record) = 0;
    /// The record would be held for `error`, which passes with time: whether its handler may try again. If not, the
    /// gate sees to the end of the loop.
    virtual bool admits_again(const ConsumedRecord& record, const Error& error, bool has_written) = 0;
    virtual void on_ended(const ConsumedRecord& record, bool is_done) = 0;

  protected:
    ~RecordGate() = default;
};

/// The state of one `for_each`: its workers, those of them that wait for a record, and how it ends. All on the
/// consumer's executor.
///
/// It belongs to its workers, and the coroutine that awaits its end, with the handler in it, belongs to it: whatever
/// destroys them uncalled, the last call goes before the handler and the handler before its caller. Workers that wait
/// for a record are in here, so they keep each other; the end of the context breaks that ring.
class RecordLoop : public std::enable_shared_from_this<RecordLoop> {
  public:
    /// A record that a worker holds, and its bytes.
    struct Held {
        ConsumedRecord record;
        MemoryReservation memory;
        std::uint64_t number; // of those that started
    };

    struct Worker {
        StoredHandler<void()> idle; // engaged while it waits for a record, or to handle its own again
        asio::cancellation_signal cancel;
        std::size_t index = 0;
        asio::steady_timer* rest = nullptr; // of its record, before that waits for its turn
        bool has_written = false; // in this try: what cannot be taken back as long as the gate's transaction goes on
    };

    /// Records are done when their handlers say so, or when `gate` does, which must outlive this object.
    RecordLoop(std::shared_ptr<ConsumerCore> core, ForEachOptions options, RecordGate* gate = nullptr);
    ~RecordLoop();

    /// Once, when it has an owner.
    void open();

    /// The next record of its turn, or nothing: then wait in `async_idle`, unless the loop is over.
    std::optional<Held> take();
    bool is_over() const noexcept { return is_over_; }

    template <class Token>
    auto async_idle(Worker& worker, Token&& token) {
        return asio::async_initiate<Token, void()>(
            [](auto handler, RecordLoop* loop, Worker* waiting) {
                waiting->idle.emplace(std::move(handler), loop->executor_);
                loop->on_idle(*waiting);
            },
            token, this, &worker);
    }

    /// What becomes of a record whose handler has failed.
    enum class Failed : std::uint8_t {
        ends_loop,
        again, ///< it was held, and is to be handled again
        left,  ///< it was held when the loop ended: whoever reads on gets it
    };
    /// Returns when that is certain: a record that is held waits in here for its turn.
    asio::awaitable<Failed> judge(Worker& worker, const Held& held, Error error, std::size_t tries);
    /// Whether failures may be anything but the end.
    bool holds_records() const noexcept { return recovery_ != nullptr; }
    void on_circuit_ready();
    /// There is no memory to be told of that.
    void look_again_soon();

    void on_handled(Held& held, const Result<void>& result);
    /// It was held and is not done.
    void on_left(Held& held);
    /// What it threw was no handler's: that is a result.
    void on_worker_ended(const std::exception_ptr& thrown);

    /// Takes the caller's share in `loop`, so that only the workers have one.
    template <class Token>
    static auto async_wait_for_end(std::shared_ptr<RecordLoop> loop, Token&& token) {
        return asio::async_initiate<Token, void(Result<void>)>(
            [](auto handler, std::shared_ptr<RecordLoop> taken) {
                taken->end_.emplace(std::move(handler), taken->executor_);
                taken->watch_end();
            },
            token, std::move(loop));
    }

    /// Starts handlers: there may be records, or room, or the end.
    void serve();
    /// No more handlers; `error` is how it ends.
    void end(std::optional<Error> error);
    /// The same, and handlers in progress are cancelled.
    void abandon(Error error);

    std::vector<std::unique_ptr<Worker>>& workers() noexcept { return workers_; }
    const asio::any_io_executor& executor() const noexcept { return executor_; }

  private:
    class Member;
    static constexpr std::size_t records_per_turn = 1000;

    template <class Token>
    auto async_turn(Worker& worker, std::uint64_t number, Token&& token) {
        return asio::async_initiate<Token, void()>(
            [](auto handler, RecordLoop* loop, Worker* waiting, std::uint64_t its_number) {
                waiting->idle.emplace(std::move(handler), loop->executor_);
                loop->on_turn_wanted(*waiting, its_number);
            },
            token, this, &worker, number);
    }
    asio::awaitable<void> rest(Worker& worker, Duration length);
    void on_turn_wanted(Worker& worker, std::uint64_t number);
    void on_idle(Worker& worker);
    void release(Held& held, bool is_done, std::optional<Error> failure);
    void start_workers();
    Worker* next_worker();
    void start_workers_later();
    void watch_end();
    void complete_end();
    void forget_idle_workers() noexcept;
    void destroy_idle_workers() noexcept;

    std::shared_ptr<ConsumerCore> core_;
    RecordGate* gate_;
    std::unique_ptr<RecordRecovery> recovery_; // where a breaker says how many handlers may run
    asio::any_io_executor executor_;
    ContextMembership membership_;
    MemoryAccount memory_;
    Bytes handler_bytes_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<Worker*> idle_; // any of them may be next: it is the records that have an order
    std::size_t running_ = 0;   // workers whose coroutine has not ended
    std::size_t held_ = 0;      // records in progress
    std::uint64_t started_ = 0;
    StoredHandler<void(Result<void>)> end_;
    std::optional<Error> error_;
    std::size_t turn_left_ = records_per_turn; // records that may start before others have the thread
    bool is_over_ = false;
    bool is_serving_ = false;
    bool is_blocked_ = false; // the next record found no memory, or the gate shut
};

std::shared_ptr<RecordLoop> open_record_loop(const std::shared_ptr<ConsumerCore>& core, ForEachOptions options,
                                             RecordGate* gate = nullptr);

/// Of a handler that is also told which worker calls it.
template <class Handler>
inline constexpr bool is_told_its_worker = false;

template <class Handler>
auto call_handler(Handler& handler, const ConsumedRecord& record, RecordLoop::Worker& worker) {
    if constexpr (is_told_its_worker<Handler>)
        return handler(record, worker);
    else
        return handler(record);
}

template <class Handler>
asio::awaitable<void> run_record_worker(std::shared_ptr<RecordLoop> loop, Handler& handler,
                                        RecordLoop::Worker& worker) {
    while (!loop->is_over()) {
        auto held = loop->take();
        if (!held) {
            if (!loop->is_over()) co_await loop->async_idle(worker, asio::use_awaitable);
            continue;
        }
        Result<void> result;
        auto fate = RecordLoop::Failed::ends_loop;
        for (std::size_t tries = 0;; ++tries) {
            worker.has_written = false;
            try {
                auto handled = call_handler(handler, held->record, worker);
                if constexpr (std::same_as<decltype(handled), asio::awaitable<void>>) {
                    co_await std::move(handled);
                    result = Result<void>{};
                } else {
                    const auto answer = co_await std::move(handled);
                    result = answer ? Result<void>{} : Result<void>{answer.error()};
                }
            } catch (...) {
                result = Error::from_exception(std::current_exception());
            }
            if (result || !loop->holds_records()) break;
            try {
                auto judging = loop->judge(worker, *held, result.error(), tries);
                fate = co_await std::move(judging);
            } catch (...) { // cancelled, or no memory to wait: no other try
                fate = RecordLoop::Failed::ends_loop;
            }
            if (fate != RecordLoop::Failed::again) break;
        }
        if (fate == RecordLoop::Failed::left)
            loop->on_left(*held);
        else
            loop->on_handled(*held, result);
    }
}

template <class Handler>
asio::awaitable<Result<void>> run_record_loop(std::shared_ptr<RecordLoop> loop, Handler handler) {
    for (auto& worker : loop->workers()) {
        auto ended = [loop](const std::exception_ptr& thrown) { loop->on_worker_ended(thrown); };
        try {
            asio::co_spawn(loop->executor(), run_record_worker<Handler>(loop, handler, *worker),
                           asio::bind_cancellation_slot(worker->cancel.slot(), std::move(ended)));
        } catch (...) { // no memory for it; those that run already have the handler, and are waited for
            loop->on_worker_ended(std::current_exception());
        }
    }
    co_return co_await RecordLoop::async_wait_for_end(std::move(loop), asio::use_awaitable);
}

} // namespace velostream::kafka::detail
