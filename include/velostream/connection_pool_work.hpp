// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "velostream/async/timed_operation.hpp"
#include "velostream/connection_pool_state.hpp"

// What a connection pool does beside lending: opening, checking, resetting and closing connections, and standing in
// line for room.
namespace velostream::detail {

// Something that the plan asked for. If it ends without a word, as with its execution context, it has failed.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
class ConnectionPoolState<Factory, Time, Memory>::Task {
  public:
    Task(std::shared_ptr<ConnectionPoolState> state, const PoolAction& action, std::shared_ptr<Ending> how) noexcept
        : ending(std::move(how)), state_(std::move(state)), action_(action) {}
    Task(Task&&) noexcept = default;
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (state_) tell([this](TimePoint) { state_->locked_failed(action_); });
    }

    ConnectionPoolState& state() const noexcept { return *state_; }
    PoolAction::Kind kind() const noexcept { return action_.kind; }
    PoolSlot slot() const noexcept { return action_.slot; }
    bool is_given_up() const noexcept {
        const std::scoped_lock lock{state_->mutex()};
        return state_->seats_[slot() - 1].is_given_up;
    }

    void opened(std::unique_ptr<Pooled> connection) noexcept {
        if (state_->options_.on_connect && !is_given_up()) state_->options_.on_connect(Result<void>{});
        std::optional<Error> over; // ends without the mutex
        tell([&](TimePoint now) {
            ++state_->counted_.created;
            over.swap(state_->last_connect_error_);
            state_->seats_[slot() - 1].pooled = std::move(connection);
            state_->plan_.opened(slot(), now, state_->actions_);
        });
    }
    void open_failed(const Error& cause) noexcept {
        const bool counts = !is_given_up();
        if (counts) state_->tell_of_failed_connect(cause);
        std::optional<Error> last{cause}; // ends as the one before it, without the mutex
        tell([&](TimePoint now) {
            if (counts) {
                ++state_->counted_.connect_failures;
                last.swap(state_->last_connect_error_);
            }
            state_->plan_.open_failed(slot(), fault_of(cause), now, state_->actions_);
        });
    }
    void withheld() noexcept {
        tell([this](TimePoint now) { state_->plan_.withheld(slot(), now, state_->actions_); });
    }
    // A check, a reset or a goodbye.
    void ended(bool works) noexcept {
        tell([&](TimePoint now) {
            if (!works || kind() == PoolAction::Kind::close)
                state_->locked_failed(action_);
            else if (kind() == PoolAction::Kind::check)
                state_->plan_.checked(slot(), true, now, state_->actions_);
            else
                state_->plan_.was_reset(slot(), true, now, state_->actions_);
        });
    }

    std::optional<ConnectionRoom> room; // for one that is to be opened, if there is some already
    Pooled* pooled = nullptr;           // any other
    std::shared_ptr<Ending> ending;

  private:
    template <class Event>
    void tell(Event event) noexcept {
        room.reset();
        if (kind() == PoolAction::Kind::close) end_connection(); // before another may be opened in its place
        state_->update([&](TimePoint now) {
            auto& seat = state_->seats_[slot() - 1];
            seat.opening.reset();
            seat.is_given_up = false;
            event(now);
        });
        state_.reset();
    }

    void end_connection() noexcept {
        std::unique_ptr<Pooled> gone; // ends without the mutex
        const std::scoped_lock lock{state_->mutex()};
        gone = state_->locked_take_out(slot());
    }

    std::shared_ptr<ConnectionPoolState> state_; // null once it has ended
    const PoolAction action_;
};

// On its strand: so it can be cancelled from the beginning on, and not before.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::start(Task task) {
    const auto ending = task.ending;
    if (task.is_given_up()) return;
    auto work = task.kind() == PoolAction::Kind::open ? open(std::move(task)) : look_after(std::move(task));
    asio::co_spawn(ending->strand, std::move(work),
                   asio::bind_cancellation_slot(ending->signal.slot(), [ending](const std::exception_ptr&) {}));
}

// For at most so long: what has not ended by itself then is cancelled.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
asio::awaitable<void> ConnectionPoolState<Factory, Time, Memory>::within(OwnFrame, ConnectionPoolState& self,
                                                                         Duration time_out, FactoryCall call,
                                                                         std::optional<Error>& failure) {
    const auto deadline = saturating_add(self.time().now(), time_out);
    CallContext context{deadline};
    auto running = run_until(self.time(), deadline, call, context);
    const auto& outcome = co_await running;
    if (auto failed = outcome.error()) failure = std::move(failed);
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
asio::awaitable<void> ConnectionPoolState<Factory, Time, Memory>::open(Task task) {
    auto& self = task.state();
    auto room = std::exchange(task.room, std::nullopt);
    if (!room) {
        auto taken = self.quota_.try_take();
        if (!taken && self.quota_.may_come()) co_return task.withheld();
        if (!taken) co_return task.open_failed(taken.error());
        room.emplace(std::move(*taken));
    }
    std::unique_ptr<Pooled> pooled;
    std::optional<Error> failure;
    try {
        std::optional<Result<Connection>> opened;
        auto connect = opens(self.factory_, opened);
        auto connecting =
            within(own_frame, self, self.config_.effective_connect_timeout(), std::move(connect), failure);
        co_await std::move(connecting);
        if (!failure && opened->has_error()) failure = opened->error();
        if (!failure) pooled = std::make_unique<Pooled>(std::move(**opened), std::move(*room), task.slot());
    } catch (...) {
        failure = Error::from_exception(std::current_exception());
    }
    room.reset(); // free again before a failure is told
    task.ending->goes_on = false;
    if (pooled)
        task.opened(std::move(pooled));
    else
        task.open_failed(*failure);
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
asio::awaitable<void> ConnectionPoolState<Factory, Time, Memory>::look_after(Task task) {
    auto& self = task.state();
    std::optional<Error> failure;
    auto call = calls(self.factory_, task.kind(), task.pooled->connection, failure);
    auto calling = within(own_frame, self, self.config_.validation_timeout, std::move(call), failure);
    co_await std::move(calling);
    task.ended(!failure);
}

// What the factory is asked for. Coroutines of their own: they hold what a call gives.
template <ConnectionFactory Factory, TimeSource Time, class Memory>
asio::awaitable<void> ConnectionPoolState<Factory, Time, Memory>::open_with(Factory& factory,
                                                                            std::optional<Result<Connection>>& opened,
                                                                            CallContext& context) {
    auto opening = factory.open(context);
    opened.emplace(co_await std::move(opening));
}
template <ConnectionFactory Factory, TimeSource Time, class Memory>
FactoryCall ConnectionPoolState<Factory, Time, Memory>::opens(Factory& factory,
                                                              std::optional<Result<Connection>>& opened) {
    return [&](CallContext& context) { return open_with(factory, opened, context); };
}
template <ConnectionFactory Factory, TimeSource Time, class Memory>
asio::awaitable<void> ConnectionPoolState<Factory, Time, Memory>::call_with(Factory& factory, PoolAction::Kind kind,
                                                                            Connection& connection,
                                                                            std::optional<Error>& failure,
                                                                            CallContext& context) {
    if (kind == PoolAction::Kind::close) {
        auto closing = factory.close(connection, context);
        co_return co_await std::move(closing);
    }
    auto calling =
        kind == PoolAction::Kind::check ? factory.check(connection, context) : factory.reset(connection, context);
    const auto result = co_await std::move(calling);
    if (!result) failure = result.error();
}
template <ConnectionFactory Factory, TimeSource Time, class Memory>
FactoryCall ConnectionPoolState<Factory, Time, Memory>::calls(Factory& factory, PoolAction::Kind kind,
                                                              Connection& connection, std::optional<Error>& failure) {
    return [&factory, kind, &connection, &failure](CallContext& context) {
        return call_with(factory, kind, connection, failure, context);
    };
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
class ConnectionPoolState<Factory, Time, Memory>::Claim final : public ConnectionClaim,
                                                                public std::enable_shared_from_this<Claim> {
  public:
    Claim(const ConnectionQuota& quota, ConnectionPoolState& owner)
        : ConnectionClaim(quota), owner_(owner.weak_from_this()) {}

  private:
    // Taken by the executor: whoever made room has work of his own.
    void on_end(Result<ConnectionRoom> room) noexcept override {
        const auto owner = std::static_pointer_cast<ConnectionPoolState>(owner_.lock());
        if (!owner) return;
        owner->tie_.with_executor([&](const asio::any_io_executor& executor) {
            asio::post(executor, [owner, claim = this->shared_from_this(), came = std::move(room)]() mutable {
                owner->room_came(*claim, std::move(came));
            });
        });
    }

    const std::weak_ptr<Base> owner_;
};

template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::on_neighbour_waits() noexcept {
    post([](ConnectionPoolState& self) { self.update([](TimePoint) {}); }); // looks
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::locked_look_for_room() noexcept {
    const bool wants = plan_.wants_room();
    if (wants == (claim_ != nullptr)) return;
    if (wants) {
        claim_ = std::make_shared<Claim>(quota_, *this);
        ConnectionClaim::wait(claim_);
        post([](ConnectionPoolState& self) { ConnectionNeighbour::tell(self.quota_.places, self); }); // may end one
    } else {
        std::exchange(claim_, nullptr)->leave();
    }
}

template <ConnectionFactory Factory, TimeSource Time, class Memory>
void ConnectionPoolState<Factory, Time, Memory>::room_came(const Claim& claim, Result<ConnectionRoom> room) noexcept {
    std::optional<ConnectionRoom> unused; // ends without the mutex
    update([&](TimePoint now) {
        if (claim_.get() != &claim) return;
        claim_.reset();
        if (room) room_.emplace(std::move(*room));
        plan_.room_came(now, actions_);
    });
    const std::scoped_lock lock{mutex()};
    unused.swap(room_);
}

} // namespace velostream::detail
