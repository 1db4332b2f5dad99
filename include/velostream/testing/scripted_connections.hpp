// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <utility>

#include "velostream/async/call_context.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/connection_factory.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {

/// A factory of connections that lead nowhere, which fails or waits when it is told to.
///
/// `ScriptedConnections factory; ResourceManager resources{executor, config, factory};`: copies are handles of one
/// script, so the test goes on using its own.
///
/// Threads: safe.
class ScriptedConnections {
  public:
    /// What was done so far, and what exists.
    struct Counts {
        std::size_t opens = 0;  ///< calls of `open`, failed ones included
        std::size_t checks = 0; ///< calls of each
        std::size_t resets = 0;
        std::size_t closes = 0;
        std::size_t alive = 0;      ///< connections that exist
        std::size_t most_alive = 0; ///< and the most that existed, or were being opened, at once
    };

  private:
    struct State;

  public:
    class Connection {
      public:
        Connection(Connection&&) noexcept = default;
        Connection& operator=(Connection&&) = delete;
        ~Connection();

        /// 1 for the first that was opened.
        std::size_t number() const noexcept { return number_; }

      private:
        friend class ScriptedConnections;
        Connection(std::shared_ptr<State> state, std::size_t number) noexcept
            : state_(std::move(state)), number_(number) {}

        std::shared_ptr<State> state_; // null after a move
        std::size_t number_;
    };

    /// `time` measures the delays.
    explicit ScriptedConnections(ManualTime time = ManualTime{});

    /// The next `times` calls of each end with `error`.
    void fail_next_opens(Error error, std::size_t times = 1);
    void fail_next_checks(Error error, std::size_t times = 1);
    void fail_next_resets(Error error, std::size_t times = 1);

    /// `open` takes this long from now on, or until the call's deadline: then it fails with `ErrorType::timeout`.
    void delay_opens(Duration delay);
    void delay_checks(Duration delay);

    Counts counts() const;

    asio::awaitable<Result<Connection>> open(CallContext& call);
    asio::awaitable<Result<void>> check(Connection& connection, CallContext& call);
    asio::awaitable<Result<void>> reset(Connection& connection, CallContext& call);
    asio::awaitable<void> close(Connection& connection, CallContext& call);

  private:
    std::shared_ptr<State> state_;
};

static_assert(ConnectionFactory<ScriptedConnections>);

} // namespace velostream::testing
