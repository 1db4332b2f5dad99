// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <utility>

#include "velostream/async/context_tie.hpp"

namespace velostream {

/// Work for an executor that anybody may ask for who has no time to do it: however often that happens, it is on its way
/// once. Nothing of it keeps the execution context running while nobody asks.
///
/// Threads: safe; `soon` waits for nobody. The work may run on several threads at once, if the context has several.
class Errand final : public std::enable_shared_from_this<Errand> {
  public:
    Errand(asio::any_io_executor executor, std::function<void()> work)
        : work_(std::move(work)), tie_(std::move(executor)) {}

    /// Lets the work run after this call, unless the context or this errand ends first. Where there is no memory for
    /// it, the next one who asks tries again.
    void soon() noexcept;

  private:
    const std::function<void()> work_;
    ContextTie tie_;
    // Sequentially consistent, both: see soon().
    std::atomic<bool> is_asked_for_{false}; // and nobody has tried to post for it
    std::atomic<bool> is_posted_{false};    // it is on its way and has not begun
};

} // namespace velostream
