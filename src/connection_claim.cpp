// SPDX-License-Identifier: Apache-2.0
#include "velostream/connection_claim.hpp"

#include <limits>
#include <utility>

#include "velostream/core/memory_waiter.hpp"

namespace velostream::detail {

Result<ConnectionRoom> ConnectionQuota::try_take() const noexcept {
    ConnectionRoom room;
    if (bytes != 0) {
        auto taken = memory.try_reserve(bytes);
        if (!taken) return taken.error();
        room.memory = std::move(*taken);
    }
    auto taken = places.try_reserve(1);
    if (!taken) return taken.error();
    room.place = std::move(*taken);
    return room;
}

bool ConnectionQuota::may_come() const noexcept {
    constexpr auto no_limit = std::numeric_limits<Bytes>::max();
    return bytes <= memory.lowest_limit().value_or(no_limit) && places.lowest_limit().value_or(no_limit) >= 1;
}

class ConnectionClaim::Wait final : public MemoryWaiter {
  public:
    using OnEnd = void (ConnectionClaim::*)(Result<MemoryReservation>) noexcept;

    Wait(MemoryAccount account, Bytes units, std::weak_ptr<ConnectionClaim> claim, OnEnd then)
        : MemoryWaiter(std::move(account), units), claim_(std::move(claim)), then_(then) {}

    void end(Result<MemoryReservation> result) noexcept {
        if (const auto claim = claim_.lock()) ((*claim).*then_)(std::move(result));
    }

  private:
    void on_end(Result<MemoryReservation> result) noexcept override { end(std::move(result)); }

    const std::weak_ptr<ConnectionClaim> claim_;
    const OnEnd then_;
};

void ConnectionClaim::wait(const std::shared_ptr<ConnectionClaim>& claim) {
    auto& [memory, bytes, places] = claim->quota_;
    claim->for_memory_ = std::make_shared<Wait>(memory, bytes, claim, &ConnectionClaim::memory_came);
    claim->for_place_ = std::make_shared<Wait>(places, 1, claim, &ConnectionClaim::place_came);
    if (bytes != 0)
        begin(claim->for_memory_);
    else
        claim->memory_came(MemoryReservation{});
}

void ConnectionClaim::begin(const std::shared_ptr<Wait>& wait) noexcept {
    if (auto at_once = wait->try_now())
        wait->end(std::move(*at_once));
    else
        MemoryWaiter::wait(wait);
}

void ConnectionClaim::leave() noexcept {
    has_left_ = true;
    MemoryWaiter::leave(for_memory_);
    if (waits_for_place_) MemoryWaiter::leave(for_place_);
}

void ConnectionClaim::memory_came(Result<MemoryReservation> memory) noexcept {
    if (!memory) return on_end(memory.error());
    memory_ = std::move(*memory);
    begin(for_place_);
    waits_for_place_ = true;
    if (has_left_) MemoryWaiter::leave(for_place_);
}

void ConnectionClaim::place_came(Result<MemoryReservation> place) noexcept {
    if (!place) return on_end(place.error());
    on_end(ConnectionRoom{.memory = std::move(memory_), .place = std::move(*place)});
}

} // namespace velostream::detail
