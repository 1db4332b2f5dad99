// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>
#include <functional>
#include <new>
#include <utility>

#include "velostream/base/units.hpp"

namespace velostream {

namespace asio = boost::asio;

/// Runs something before its next post comes back: what another thread may do when this one is preempted there. That
/// post may find no memory.
class InterruptedExecutor {
  public:
    using Interruption = std::function<void()>;
    InterruptedExecutor(asio::io_context::executor_type executor, Interruption& interruption, bool finds_memory = true)
        : executor_(executor), interruption_(&interruption), finds_memory_(finds_memory) {}

    asio::execution_context& query(asio::execution::context_t) const noexcept { return executor_.context(); }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    template <class Work>
    void execute(Work work) const {
        const auto interrupt = std::exchange(*interruption_, nullptr);
        if (finds_memory_ || !interrupt)
            asio::require(executor_, asio::execution::blocking.never).execute(std::move(work));
        if (!interrupt) return;
        interrupt();
        if (!finds_memory_) throw std::bad_alloc{};
    }
    friend bool operator==(const InterruptedExecutor&, const InterruptedExecutor&) = default;

  private:
    asio::io_context::executor_type executor_;
    Interruption* interruption_;
    bool finds_memory_;
};

} // namespace velostream
