// SPDX-License-Identifier: Apache-2.0
#include "connection_core.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <new>
#include <utility>

#include "velostream/sqlite/error.hpp"

namespace velostream::sqlite {

namespace {

// How long who has stopped a call waits to hear what came of it: longer than a commit on a disk that is well.
constexpr auto patience = std::chrono::milliseconds{20};

Error connection_closed() {
    return make_error_code(SqliteErrc::connection_closed);
}

Error no_thread() {
    return Error{make_error_code(boost::system::errc::not_enough_memory), "no thread can be started"};
}

} // namespace

asio::awaitable<Result<QueryResult>> ConnectionCore::call(Work work, TimePoint deadline) {
    const auto initiate = [](auto handler, std::shared_ptr<ConnectionCore> core, Work wanted, TimePoint until) {
        auto executor = asio::any_io_executor{asio::get_associated_executor(handler)};
        const auto slot = asio::get_associated_cancellation_slot(handler);
        auto& submits_to = *core;
        auto call = std::make_shared<Call>(std::move(core), std::move(wanted), std::move(executor), std::move(handler));
        if (call->begin(slot, until)) submits_to.submit(std::move(call));
    };
    return asio::async_initiate<const asio::use_awaitable_t<>, Call::Signature>(
        initiate, asio::use_awaitable, shared_from_this(), std::move(work), deadline);
}

bool ConnectionCore::is_idle() const {
    const std::scoped_lock lock{mutex_};
    return line_.empty();
}

void ConnectionCore::submit(std::shared_ptr<Call> call) noexcept {
    call->busy_until = saturating_add(SteadyTime{}.now(), busy_timeout_);
    std::optional<Error> refused;
    if (!pool_->try_enter()) {
        refused = Error{Errc::bulkhead_full, "max_pending_calls are under way"};
    } else {
        try {
            const std::scoped_lock lock{mutex_};
            if (is_closing_)
                refused = connection_closed();
            else
                line_.push_back(call);
            if (!refused && !is_in_pool_) {
                is_in_pool_ = pool_->submit(shared_from_this());
                if (!is_in_pool_) {
                    line_.pop_back();
                    refused = no_thread();
                }
            }
        } catch (const std::bad_alloc&) {
            refused = no_thread();
        }
        if (refused) pool_->leave();
    }
    if (refused) call->answer(*std::move(refused));
}

void ConnectionCore::give_up(Call& call, Errc why) {
    std::optional<Error> busy;
    {
        const std::scoped_lock lock{mutex_};
        if (call.has_ended()) return;
        if (running_ == &call) return locked_stop(call, why);
        call.end();
        if (call.tries != 0) busy = make_error_code(SqliteErrc::busy);
    }
    call.finish(velostream::detail::given_up(why, [&] { return busy; }));
    pool_->call(*this);
}

void ConnectionCore::locked_stop(Call& call, Errc why) {
    if (call.stopped_by) return;
    call.stopped_by = why;
    handle_.interrupt();
    try {
        call.end_within(patience, why);
    } catch (const std::bad_alloc&) { // then it is waited for
    }
}

/// The call ends, and its work goes on without it.
void ConnectionCore::lose_patience(Call& call, Errc why) {
    Error error{why};
    {
        const std::scoped_lock lock{mutex_};
        if (running_ != &call || !call.end()) return; // it has its answer, or will have it at once
        if (handle_.may_have_written()) error = error.with_inner(make_error_code(SqliteErrc::outcome_unknown));
    }
    call.finish(std::move(error));
}

void ConnectionCore::leave(Call& call) noexcept {
    {
        const std::scoped_lock lock{mutex_};
        call.end();
        call.patience_ends.stop();
        if (running_ == &call && !call.stopped_by) {
            call.stopped_by = Errc::cancelled;
            handle_.interrupt();
        }
    }
    pool_->call(*this);
}

void ConnectionCore::close() noexcept {
    {
        const std::scoped_lock lock{mutex_};
        if (std::exchange(is_closing_, true)) return;
        holds_end_.emplace();
        if (running_) handle_.interrupt();
        if (is_in_pool_) {
            pool_->call(*this);
            return;
        }
        try {
            is_in_pool_ = pool_->submit(shared_from_this());
        } catch (const std::bad_alloc&) {
        }
        if (is_in_pool_) return;
    }
    take_last_turn(); // here, for no thread will
}

void ConnectionCore::take_turn() noexcept {
    const auto call = begin_next();
    if (!call) return;
    auto result = [&]() -> Result<QueryResult> {
        try {
            return call->work(handle_);
        } catch (...) {
            return Error::from_exception(std::current_exception());
        }
    }();
    const auto next = end_turn(*call, result);
    if (next == Next::park) return;
    if (next == Next::answer) call->finish(std::move(result));
    go_on();
}

/// Null if there is none: then this turn was the last for now.
std::shared_ptr<Call> ConnectionCore::begin_next() {
    {
        const std::scoped_lock lock{mutex_};
        while (!is_closing_ && !line_.empty() && line_.front()->has_ended()) {
            line_.pop_front();
            pool_->leave();
        }
        if (!is_closing_) {
            if (line_.empty()) {
                is_in_pool_ = false;
                return nullptr;
            }
            running_ = line_.front().get();
            handle_.begin();
            return line_.front();
        }
    }
    take_last_turn();
    return nullptr;
}

ConnectionCore::Next ConnectionCore::end_turn(Call& call, Result<QueryResult>& result) {
    const bool was_in_transaction = is_in_transaction_;
    is_in_transaction_ = handle_.is_in_transaction();
    has_changed_settings_ = handle_.has_changed_settings();
    const bool may_have_unlocked = !is_in_transaction_ && (was_in_transaction || handle_.may_have_written());
    const auto now = SteadyTime{}.now();
    std::optional<TimePoint> next_try;
    bool is_wanted = false;
    {
        const std::scoped_lock lock{mutex_};
        running_ = nullptr;
        call.patience_ends.stop();
        if (!result && handle_.waits_for_lock() && !call.stopped_by && !call.has_ended() && !is_closing_ &&
            now < call.busy_until) {
            next_try = call.next_try(now);
        } else {
            line_.pop_front();
            pool_->leave();
            is_wanted = call.end(); // at once: who gives it up from now on would take it for one that was not run
            if (!result && call.stopped_by) {
                const auto why = result.error();
                result = why == SqliteErrc::interrupted ? Error{*call.stopped_by, std::string{why.detail()}}
                                                        : Error{*call.stopped_by}.with_inner(why);
            } else if (!result && is_closing_) {
                result = connection_closed();
            }
        }
    }
    if (next_try) {
        pool_->park(shared_from_this(), call.waits_since, *next_try);
        return Next::park;
    }
    if (may_have_unlocked) pool_->call_longest();
    return is_wanted ? Next::answer : Next::forget;
}

void ConnectionCore::go_on() noexcept {
    const std::scoped_lock lock{mutex_};
    is_in_pool_ = (!line_.empty() || is_closing_) && pool_->submit(shared_from_this());
}

/// Whoever still waits is told, and the connection is closed.
void ConnectionCore::take_last_turn() noexcept {
    std::deque<std::shared_ptr<Call>> rest;
    {
        const std::scoped_lock lock{mutex_};
        rest.swap(line_);
    }
    for (const auto& call : rest) {
        pool_->leave();
        call->answer(connection_closed());
    }
    rest.clear();
    handle_.close();
    pool_->call_longest();
    holds_end_.reset(); // last: the program may end
}

} // namespace velostream::sqlite
