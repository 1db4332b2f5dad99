// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/scripted_connections.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <mutex>
#include <optional>

namespace velostream::testing {

namespace {

// What the next calls of one operation answer.
struct Script {
    std::deque<Error> failures;
    Duration delay{};

    std::optional<Error> next() {
        if (failures.empty()) return std::nullopt;
        auto error = std::move(failures.front());
        failures.pop_front();
        return error;
    }
};

} // namespace

struct ScriptedConnections::State {
    explicit State(ManualTime clock) : time(std::move(clock)) {}

    ManualTime time;
    std::mutex mutex; // guards what follows
    Counts counts;
    std::size_t opening = 0;
    Script opens, checks, resets;
};

namespace {

// True if the time was taken; false if the deadline came first. Throws when it is cancelled.
asio::awaitable<bool> pass(ManualTime time, Duration delay, TimePoint deadline) {
    if (delay <= Duration::zero()) co_return true;
    const auto executor = co_await asio::this_coro::executor;
    const auto end = time.now() + delay;
    const auto until = std::min(end, deadline);
    co_await async_sleep_until(time, executor, until, asio::use_awaitable);
    co_return end <= deadline;
}

} // namespace

ScriptedConnections::ScriptedConnections(ManualTime time) : state_(std::make_shared<State>(std::move(time))) {}

ScriptedConnections::Connection::~Connection() {
    if (!state_) return;
    const std::scoped_lock lock{state_->mutex};
    --state_->counts.alive;
}

void ScriptedConnections::fail_next_opens(Error error, std::size_t times) {
    const std::scoped_lock lock{state_->mutex};
    state_->opens.failures.insert(state_->opens.failures.end(), times, error);
}
void ScriptedConnections::fail_next_checks(Error error, std::size_t times) {
    const std::scoped_lock lock{state_->mutex};
    state_->checks.failures.insert(state_->checks.failures.end(), times, error);
}
void ScriptedConnections::fail_next_resets(Error error, std::size_t times) {
    const std::scoped_lock lock{state_->mutex};
    state_->resets.failures.insert(state_->resets.failures.end(), times, error);
}
void ScriptedConnections::delay_opens(Duration delay) {
    const std::scoped_lock lock{state_->mutex};
    state_->opens.delay = delay;
}
void ScriptedConnections::delay_checks(Duration delay) {
    const std::scoped_lock lock{state_->mutex};
    state_->checks.delay = delay;
}

auto ScriptedConnections::counts() const -> Counts {
    const std::scoped_lock lock{state_->mutex};
    return state_->counts;
}

auto ScriptedConnections::open(CallContext& call) -> asio::awaitable<Result<Connection>> {
    struct Opening { // counts as existing until it is decided
        explicit Opening(State& in) : state(in) { ++state.opening; }
        ~Opening() {
            const std::scoped_lock lock{state.mutex};
            --state.opening;
        }
        State& state;
    };
    const auto state = state_;
    const auto deadline = call.deadline();
    std::optional<Opening> opening;
    std::optional<Error> failure;
    Duration delay{};
    {
        const std::scoped_lock lock{state->mutex};
        auto& counts = state->counts;
        ++counts.opens;
        opening.emplace(*state);
        counts.most_alive = std::max(counts.most_alive, counts.alive + state->opening);
        failure = state->opens.next();
        delay = state->opens.delay;
    }
    const bool in_time = co_await pass(state->time, delay, deadline);
    if (!in_time) co_return Error{boost::system::error_code{asio::error::timed_out}};
    if (failure) co_return *failure;

    opening.reset();
    const std::scoped_lock lock{state->mutex};
    ++state->counts.alive;
    co_return Connection{state, state->counts.opens};
}

auto ScriptedConnections::check(Connection&, CallContext& call) -> asio::awaitable<Result<void>> {
    const auto state = state_;
    const auto deadline = call.deadline();
    std::optional<Error> failure;
    Duration delay{};
    {
        const std::scoped_lock lock{state->mutex};
        ++state->counts.checks;
        failure = state->checks.next();
        delay = state->checks.delay;
    }
    const bool in_time = co_await pass(state->time, delay, deadline);
    if (!in_time) co_return Error{boost::system::error_code{asio::error::timed_out}};
    if (failure) co_return *failure;
    co_return Result<void>{};
}

auto ScriptedConnections::reset(Connection&, CallContext&) -> asio::awaitable<Result<void>> {
    const std::scoped_lock lock{state_->mutex};
    ++state_->counts.resets;
    if (auto failure = state_->resets.next()) co_return *failure;
    co_return Result<void>{};
}

asio::awaitable<void> ScriptedConnections::close(Connection&, CallContext&) {
    const std::scoped_lock lock{state_->mutex};
    ++state_->counts.closes;
    co_return;
}

} // namespace velostream::testing
