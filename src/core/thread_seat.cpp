// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/thread_seat.hpp"

#include <array>
#include <atomic>
#include <cstdint>

namespace velostream::detail {

namespace {

// How many threads sit at each. Whoever comes to an empty one (acquire) sees what those before him did there (release).
constinit std::array<std::atomic<std::uint32_t>, thread_seats> threads_at{};

class Seat {
  public:
    Seat() noexcept {
        std::uint32_t others = 0;
        do {
            for (std::size_t index = 0; index < thread_seats; ++index) {
                const auto count = threads_at[index].load(std::memory_order_relaxed);
                if (index != 0 && count >= others) continue;
                index_ = index;
                others = count;
            }
        } while (!threads_at[index_].compare_exchange_strong(others, others + 1, std::memory_order_acquire,
                                                             std::memory_order_relaxed));
        own_thread_seat = index_;
        sits_alone = others == 0;
    }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    // What the thread still writes while it ends, it writes to the same place.
    ~Seat() {
        sits_alone = false;
        threads_at[index_].fetch_sub(1, std::memory_order_release);
    }

  private:
    std::size_t index_ = 0;
};

} // namespace

void take_thread_seat() noexcept {
    thread_local const Seat seat;
}

} // namespace velostream::detail
