// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <cstddef>

namespace velostream {

namespace asio = boost::asio;

namespace detail {

/// Cancels one chain of coroutines that is launched with its `slot()` and `state()`, which lets every kind through, as
/// one that `enable_total_cancellation` filters would. What Asio makes of such a filter lies in memory that the slot
/// takes, of which Asio keeps two pieces a thread for all slots; this is that memory.
///
/// Threads:  belongs to the executor of the chain.
/// Lifetime: beyond that of the chain.
class ChainSignal {
  public:
    ChainSignal() noexcept;
    ChainSignal(const ChainSignal&) = delete;
    ChainSignal& operator=(const ChainSignal&) = delete;
    ~ChainSignal();

    asio::cancellation_slot slot() noexcept { return signal_.slot(); }
    asio::cancellation_state state() noexcept;
    /// What the chain awaits hears of it, unless the chain has reset its state so that it does not.
    void emit(asio::cancellation_type kind);

  private:
    asio::cancellation_signal signal_;                  // of a state that the chain makes when it resets its own
    alignas(void*) std::byte state_[2 * sizeof(void*)]; // what Asio keeps of a cancellation state
};

} // namespace detail

} // namespace velostream
