// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>

#include "velostream/async/frame_memory.hpp"

namespace velostream::detail {

/// That of a chain that runs or waits.
const asio::any_io_executor& executor_of(CoroutineChain& chain) noexcept;

/// Gives a chain of coroutines that was spawned without a cancellation slot one that nobody emits to. What is in it is
/// destroyed when what the chain awaits has ended, as in any chain that can be cancelled.
///
/// Threads:  belongs to the chain.
/// Lifetime: within that of the chain, which has no slot again afterwards.
class LentSlot {
  public:
    explicit LentSlot(CoroutineChain& chain) noexcept : chain_(chain) {}
    LentSlot(const LentSlot&) = delete;
    LentSlot& operator=(const LentSlot&) = delete;
    ~LentSlot() { take_back(); }

    /// The slot that the chain has by now: this one, or that of a call within this one, which was first to lend it one.
    /// Valid while what the chain awaits now is awaited.
    asio::cancellation_slot slot() noexcept;
    void take_back() noexcept {
        if (is_made_) unmake();
    }

  private:
    void unmake() noexcept;

    CoroutineChain& chain_;
    bool is_made_ = false;
    alignas(void*) std::byte state_[2 * sizeof(void*)]; // what Asio keeps of a cancellation state
};

} // namespace velostream::detail
