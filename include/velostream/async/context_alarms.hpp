// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <cstdint>
#include <list>
#include <new>

#include "velostream/async/alarm.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/units.hpp"

namespace velostream {

/// The alarm of a component at which coroutines of several execution contexts wait. It rings on the executor of the one
/// who waits longest; and later, by what the component allows, in every other context in which somebody waits: so a
/// context that nobody runs holds up nobody elsewhere.
///
/// Threads:  one at a time; what rings does so without a lock of its own.
/// Lifetime: its destruction stops it.
class ContextAlarms {
  public:
    /// A context in which somebody waits.
    class Place;

    /// Somebody waits on `executor` from now on. Throws `std::bad_alloc`, and then nobody does.
    Place& enter(const asio::any_io_executor& executor);
    /// He does so no longer. `set` or `stop` is to be called after it.
    void leave(Place& place) noexcept;

    /// From now on it rings at `at` on `first`, whose context somebody has entered, and after `grace` elsewhere; but
    /// one that is set already and rings earlier stays. `ring(number)` makes what is called then, an `Alarm::OnEnd`.
    ///
    /// Throws `std::bad_alloc` if it is not set on `first`. Where there is no memory for others, they are without.
    template <TimeSource Time, class Ring>
    void set(const Time& time, const asio::any_io_executor& first, TimePoint at, Duration grace, const Ring& ring);
    void stop() noexcept;

    /// That of this number has come to its end. False if it is not that which was set last there.
    bool take(std::uint64_t number) noexcept;

  private:
    void sweep() noexcept;
    template <TimeSource Time, class Ring>
    void set(Place& place, const Time& time, const asio::any_io_executor& executor, TimePoint at, const Ring& ring);

    std::list<Place> places_; // one is kept, though nobody waits there
    std::uint64_t number_ = 0;
};

class ContextAlarms::Place {
  public:
    Place() = default;

  private:
    friend ContextAlarms;

    const void* context_ = nullptr;
    asio::any_io_executor executor_; // of one who came while nobody waited there; empty while nobody does
    std::size_t waiting_ = 0;
    Alarm alarm_;
    TimePoint at_ = TimePoint::max(); // max: it is not set
    std::uint64_t number_ = 0;
};

template <TimeSource Time, class Ring>
void ContextAlarms::set(Place& place, const Time& time, const asio::any_io_executor& executor, TimePoint at,
                        const Ring& ring) {
    if (place.at_ <= at) return;
    place.at_ = TimePoint::max();
    place.number_ = ++number_;
    place.alarm_.set(time, executor, at, ring(number_));
    place.at_ = at;
}

template <TimeSource Time, class Ring>
void ContextAlarms::set(const Time& time, const asio::any_io_executor& first, TimePoint at, Duration grace,
                        const Ring& ring) {
    sweep();
    const void* const context = &first.context();
    for (auto& place : places_)
        if (place.context_ == context) set(place, time, first, at, ring);
    for (auto& place : places_) {
        if (place.context_ == context || place.waiting_ == 0) continue;
        try {
            set(place, time, place.executor_, saturating_add(at, grace), ring);
        } catch (const std::bad_alloc&) { // `first` hears it
        }
    }
}

} // namespace velostream
