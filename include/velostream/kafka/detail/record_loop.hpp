// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "velostream/async/context_membership.hpp"
#include "velostream/async/operation.hpp"
#include "velostream/base/result.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/kafka/consumed_record.hpp"
#include "velostream/kafka/detail/stored_handler.hpp"
#include "velostream/kafka/for_each_options.hpp"

namespace velostream::kafka::detail {

class ConsumerCore;

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
    };

    struct Worker {
        StoredHandler<void()> idle; // engaged while it waits for a record
        asio::cancellation_signal cancel;
    };

    RecordLoop(std::shared_ptr<ConsumerCore> core, ForEachOptions options);
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

    void on_handled(Held& held, const Result<void>& result);
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

    std::vector<std::unique_ptr<Worker>>& workers() noexcept { return workers_; }
    const asio::any_io_executor& executor() const noexcept { return executor_; }

  private:
    class Member;
    static constexpr std::size_t records_per_turn = 1000;

    void on_idle(Worker& worker);
    void start_idle_workers();
    void serve_end_later();
    void watch_end();
    void complete_end();
    void cancel();
    void forget_idle_workers() noexcept;
    void destroy_idle_workers() noexcept;

    std::shared_ptr<ConsumerCore> core_;
    asio::any_io_executor executor_;
    ContextMembership membership_;
    MemoryAccount memory_;
    Bytes handler_bytes_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<Worker*> idle_; // any of them may be next: it is the records that have an order
    std::size_t running_ = 0;   // workers whose coroutine has not ended
    std::size_t held_ = 0;      // records in progress
    StoredHandler<void(Result<void>)> end_;
    std::optional<Error> error_;
    std::size_t turn_left_ = records_per_turn; // records that may start before others have the thread
    bool is_over_ = false;
    bool is_serving_ = false;
    bool is_blocked_ = false; // the next record found no memory
};

std::shared_ptr<RecordLoop> open_record_loop(const std::shared_ptr<ConsumerCore>& core, ForEachOptions options);

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
        try {
            auto handled = handler(held->record);
            if constexpr (std::same_as<decltype(handled), asio::awaitable<void>>)
                co_await std::move(handled);
            else
                result = co_await std::move(handled);
        } catch (...) {
            result = Error::from_exception(std::current_exception());
        }
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
