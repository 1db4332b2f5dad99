// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "velostream/async/operation.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {

/// An operation that answers as it was told, one step for each call; after the last step it repeats that one.
///
/// ```cpp
/// ScriptedOperation<int> operation{time};
/// operation.fails(Errc::connect_failed).takes(2s).fails(Errc::send_timeout).returns(7);
/// auto result = co_await retry.execute_with_retry(operation);
/// EXPECT_EQ(operation.calls(), 3u);
/// ```
///
/// Threads:  one at a time. Copies share script and records.
template <class T>
class ScriptedOperation {
  public:
    explicit ScriptedOperation(ManualTime time) : script_(std::make_shared<Script>(std::move(time))) {}

    /// The step being written takes so long. Legal before `returns`, `fails` and `throws`.
    ScriptedOperation& takes(Duration time) {
        script_->writing.takes = time;
        return *this;
    }
    ScriptedOperation& returns(T value) {
        script_->writing.value = std::move(value);
        return add();
    }
    ScriptedOperation& fails(Error error) {
        script_->writing.error = std::move(error);
        return add();
    }
    template <class Exception>
    ScriptedOperation& throws(Exception exception) {
        script_->writing.exception = std::make_exception_ptr(std::move(exception));
        return add();
    }
    /// Never completes, except by cancellation.
    ScriptedOperation& hangs() {
        takes(for_ever);
        return fails(Errc::cancelled);
    }

    asio::awaitable<Result<T>> operator()() { return run(script_, nullptr); }

    /// The same script as an operation that takes the `CallContext`.
    auto with_context() const {
        return [script = script_](CallContext& call) { return run(script, &call); };
    }

    /// How often it was called, is running now, and was cancelled.
    std::size_t calls() const noexcept { return script_->calls; }
    std::size_t running() const noexcept { return script_->running; }
    std::size_t cancelled() const noexcept { return script_->cancelled; }
    /// When each call began.
    const std::vector<TimePoint>& started_at() const noexcept { return script_->started_at; }
    /// What the context said at each call of `with_context()`.
    const std::vector<CallContext>& contexts() const noexcept { return script_->contexts; }

  private:
    static constexpr Duration for_ever = Duration::max();

    struct Step {
        std::optional<T> value = std::nullopt;
        std::optional<Error> error = std::nullopt;
        std::exception_ptr exception = nullptr;
        Duration takes = Duration::zero();
    };
    struct Script {
        explicit Script(ManualTime clock) : time(std::move(clock)) {}

        ManualTime time;
        Step writing;
        std::vector<Step> steps;
        std::size_t calls = 0, running = 0, cancelled = 0;
        std::vector<TimePoint> started_at;
        std::vector<CallContext> contexts;
    };
    class Running {
      public:
        explicit Running(Script& script) noexcept : script_(script) { ++script_.running; }
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;
        ~Running() { --script_.running; }

      private:
        Script& script_;
    };

    ScriptedOperation& add() {
        script_->steps.push_back(std::exchange(script_->writing, Step{}));
        return *this;
    }

    static asio::awaitable<Result<T>> run(std::shared_ptr<Script> script, CallContext* call) {
        const Running running{*script};
        script->started_at.push_back(script->time.now());
        if (call) script->contexts.push_back(*call);
        const auto step = script->steps.at(std::min(script->calls, script->steps.size() - 1));
        ++script->calls;
        if (step.takes > Duration::zero()) {
            const auto executor = co_await asio::this_coro::executor;
            const auto now = script->time.now();
            const auto until = step.takes > TimePoint::max() - now ? TimePoint::max() : now + step.takes;
            boost::system::error_code code;
            if (call) {
                auto token =
                    asio::bind_cancellation_slot(call->cancellation_slot(), asio::as_tuple(asio::use_awaitable));
                auto sleep = async_sleep_until(script->time, executor, until, std::move(token));
                std::tie(code) = co_await std::move(sleep);
            } else {
                auto sleep = async_sleep_until(script->time, executor, until, asio::as_tuple(asio::deferred));
                std::tie(code) = co_await std::move(sleep);
            }
            if (code) {
                ++script->cancelled;
                co_return Error{code};
            }
        }
        if (step.exception) std::rethrow_exception(step.exception);
        if (step.error) co_return *step.error;
        co_return *step.value;
    }

    std::shared_ptr<Script> script_;
};

} // namespace velostream::testing
