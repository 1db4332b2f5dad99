// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/throw_places.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

namespace velostream::detail {

namespace {

class ThrowPlaces {
  public:
    void set(const void* exception, StackTrace trace) noexcept {
        auto& place = place_of(exception);
        const std::lock_guard lock{place.mutex};
        place.exception = exception;
        std::swap(place.trace, trace); // the old text ends with the argument, after the lock
    }
    void clear(const void* exception) noexcept {
        auto& place = place_of(exception);
        const std::lock_guard lock{place.mutex};
        if (place.exception == exception) place.exception = nullptr;
    }
    StackTrace find(const void* exception) noexcept {
        auto& place = place_of(exception);
        const std::lock_guard lock{place.mutex};
        return place.exception == exception ? place.trace : StackTrace{};
    }

  private:
    struct Place {
        std::mutex mutex;
        const void* exception = nullptr;
        StackTrace trace;
    };

    Place& place_of(const void* exception) noexcept {
        const auto address = reinterpret_cast<std::uintptr_t>(exception);
        return places_[(address >> 4 ^ address >> 12) % places_.size()];
    }

    std::array<Place, 512> places_;
};

// Null until the first throw is noted; never destroyed: threads may outlive main().
std::atomic<ThrowPlaces*> made_places{nullptr};

ThrowPlaces& places() {
    static auto* const kept = [] {
        auto* const made = new ThrowPlaces;
        made_places.store(made, std::memory_order_release);
        return made;
    }();
    return *kept;
}

} // namespace

void note_throw(const void* exception) noexcept {
    thread_local constinit bool is_noting = false; // what is thrown beneath, for lack of memory, is not noted
    if (std::exchange(is_noting, true)) return;
    try {
        places().set(exception, StackTrace::capture(2)); // neither this function nor what called it
    } catch (...) {                                      // no memory: nobody will know
    }
    is_noting = false;
}

void forget_throw(const void* exception) noexcept {
    if (auto* const made = made_places.load(std::memory_order_acquire)) made->clear(exception);
}

StackTrace throw_place_of(const std::exception_ptr& exception) noexcept {
    auto* const made = made_places.load(std::memory_order_acquire);
    if (!made) return {};
    // Both libstdc++ and libc++ keep the address of the thrown object there, and nothing else.
    static_assert(sizeof exception == sizeof(void*));
    const void* thrown = nullptr;
    std::memcpy(&thrown, &exception, sizeof thrown);
    return made->find(thrown);
}

} // namespace velostream::detail
