// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/thread_seat.hpp"

#include <array>
#include <mutex>

namespace velostream::detail {

namespace {

struct Seats {
    std::mutex mutex;
    std::array<std::size_t, thread_seats> threads{};
};

constinit Seats seats;

class Seat {
  public:
    Seat() noexcept {
        const std::lock_guard lock{seats.mutex};
        for (std::size_t index = 1; index < seats.threads.size(); ++index)
            if (seats.threads[index] < seats.threads[index_]) index_ = index;
        ++seats.threads[index_];
        own_thread_seat = index_;
    }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    // What the thread still writes while it ends, it writes to the same place.
    ~Seat() {
        const std::lock_guard lock{seats.mutex};
        --seats.threads[index_];
    }

  private:
    std::size_t index_ = 0;
};

} // namespace

void take_thread_seat() noexcept {
    thread_local const Seat seat;
}

} // namespace velostream::detail
