// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/lane_turns.hpp"

#include <algorithm>

namespace velostream {

LaneTurns::Turn LaneTurns::enter(std::string lane) {
    Lane last{std::make_shared<Place>(lane)}; // here: no lane may stay empty where there is no memory
    const std::scoped_lock lock{state_->mutex};
    auto& line = state_->lanes[std::move(lane)];
    last.front()->has_come = line.empty();
    line.splice(line.end(), last);
    return {state_, line.back()};
}

void LaneTurns::Turn::leave() noexcept {
    std::shared_ptr<Place> next;
    {
        const std::scoped_lock lock{state_->mutex};
        const auto lane = state_->lanes.find(place_->lane);
        auto& line = lane->second;
        line.erase(std::ranges::find(line, place_)); // mostly the first
        if (line.empty()) {
            state_->lanes.erase(lane);
        } else {
            next = line.front();
            next->has_come = true; // perhaps since long ago
        }
    }
    if (next) next->waiting.wake_one();
}

} // namespace velostream
