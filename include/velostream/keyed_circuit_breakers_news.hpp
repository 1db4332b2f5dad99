// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <deque>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "velostream/circuit_breaker_events.hpp"
#include "velostream/core/breaker_types.hpp"

namespace velostream::detail {

// Changes of state of several keys that nobody was told of yet, in their order.
//
// Threads: one at a time, under a mutex of the caller's.
class KeyedBreakerNews {
  public:
    // Throws `std::bad_alloc`, and then knows nothing of it.
    template <class Key>
    void add(std::string_view name, const Key& key, const BreakerTransition& transition) {
        untold_.push_back({std::string{name} + "/" + text_of(key), transition});
    }

    // Tells `events` of all of them, without the lock. One thread tells for all; the others go on.
    void tell(std::mutex& mutex, CircuitBreakerEvents& events) noexcept {
        std::unique_lock lock{mutex};
        if (std::exchange(is_telling_, true)) return;
        while (!untold_.empty()) {
            const auto& next = untold_.front(); // stays where it is: others only push behind it
            lock.unlock();
            bool told = true;
            try {
                events.publish(next.transition, next.breaker);
            } catch (const std::bad_alloc&) { // told before the next one
                told = false;
            }
            lock.lock();
            if (!told) break;
            untold_.pop_front();
        }
        is_telling_ = false;
    }

  private:
    struct Untold {
        std::string breaker;
        BreakerTransition transition;
    };

    template <class Key>
    static std::string text_of(const Key& key) {
        if constexpr (std::convertible_to<const Key&, std::string_view>)
            return std::string{std::string_view{key}};
        else if constexpr (std::integral<Key>)
            return std::to_string(key);
        else
            return "?";
    }

    std::deque<Untold> untold_;
    bool is_telling_ = false;
};

} // namespace velostream::detail
