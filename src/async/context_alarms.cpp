// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/context_alarms.hpp"

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>

namespace velostream {

ContextAlarms::Place& ContextAlarms::enter(const asio::any_io_executor& executor) {
    const void* const context = &executor.context();
    Place* found = nullptr;
    for (auto& place : places_)
        if (place.context_ == context || (place.waiting_ == 0 && !found)) found = &place;
    if (!found) found = &places_.emplace_back();
    if (found->context_ != context) {
        found->alarm_.stop();
        found->at_ = TimePoint::max();
        found->context_ = context;
    }
    if (found->waiting_++ == 0) found->executor_ = asio::prefer(executor, asio::execution::outstanding_work.untracked);
    return *found;
}

// The executor goes at once: nothing here is told when the context ends.
void ContextAlarms::leave(Place& place) noexcept {
    if (--place.waiting_ == 0) place.executor_ = {};
}

void ContextAlarms::sweep() noexcept {
    if (places_.size() < 2) return;
    std::erase_if(places_, [](const Place& place) { return place.waiting_ == 0; });
}

void ContextAlarms::stop() noexcept {
    for (auto& place : places_) {
        if (place.at_ == TimePoint::max()) continue;
        place.alarm_.stop();
        place.at_ = TimePoint::max();
    }
    while (places_.size() > 1 && places_.back().waiting_ == 0) places_.pop_back();
}

bool ContextAlarms::take(std::uint64_t number) noexcept {
    for (auto& place : places_) {
        if (place.number_ != number || place.at_ == TimePoint::max()) continue;
        place.at_ = TimePoint::max();
        return true;
    }
    return false;
}

} // namespace velostream
