// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "velostream/base/units.hpp"

namespace velostream::sqlite {

/// Threads that take turns at what may block. They are started when they are needed, and end with the pool; who ends it
/// does not wait for them.
///
/// Threads: safe.
class ThreadPool {
  public:
    /// What a thread is asked for: one turn. It is in one pool once at most.
    class Turn {
      public:
        virtual void take_turn() noexcept = 0;

      protected:
        ~Turn() = default;
    };

    ThreadPool(std::size_t threads, std::size_t max_pending_calls);
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;
    ~ThreadPool();

    /// A turn, first come first served. False if there is no thread and none can be started: then there is none.
    bool submit(std::shared_ptr<Turn> turn);
    /// From a turn: another one when the time has come, or when it is called before. It has been waiting `since` then.
    void park(std::shared_ptr<Turn> turn, TimePoint since, TimePoint until);
    /// The turn of this one comes now, if it is parked.
    void call(const Turn& turn) noexcept;
    /// That of the one that has been waiting longest.
    void call_longest() noexcept;

    /// A place among the pending calls; false if there is none.
    bool try_enter() noexcept;
    void leave() noexcept { --pending_; }

  private:
    struct State;

    const std::shared_ptr<State> state_;
    const std::size_t max_pending_;
    std::atomic<std::size_t> pending_{0};
};

} // namespace velostream::sqlite
