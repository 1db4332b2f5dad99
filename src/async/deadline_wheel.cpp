// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/deadline_wheel.hpp"

#include <algorithm>
#include <bit>

namespace velostream {

namespace {

// The clock may end within the last tick, before that has ended.
TimePoint end_of_ticks(TimePoint origin, Duration tick, std::uint64_t count) noexcept {
    const auto most = static_cast<std::uint64_t>(Duration::max() / tick);
    return saturating_add(origin, count > most ? Duration::max() : tick * static_cast<Duration::rep>(count));
}

} // namespace

DeadlineWheel::DeadlineWheel(TimePoint now, Duration tick) noexcept : origin_(now), tick_(tick) {}

DeadlineWheel::~DeadlineWheel() {
    for (auto& head : lists_)
        while (head.next != &head) disarm(static_cast<Deadline&>(*head.next));
}

std::uint64_t DeadlineWheel::tick_at(TimePoint at) const noexcept {
    if (at <= origin_) return 0;
    const auto since = static_cast<std::uint64_t>((at - origin_).count());
    const auto tick = static_cast<std::uint64_t>(tick_.count());
    constexpr auto last = (std::uint64_t{1} << (slot_bits * levels)) - 1;
    return std::min(since / tick + (since % tick != 0 ? 1 : 0), last);
}

void DeadlineWheel::link(Deadline& deadline, std::uint16_t place) noexcept {
    auto& head = lists_[place];
    deadline.place_ = place;
    deadline.previous = head.previous;
    deadline.next = &head;
    head.previous->next = &deadline;
    head.previous = &deadline;
    if (place != due_place) occupied_[place / slots] |= std::uint64_t{1} << (place % slots);
}

void DeadlineWheel::unlink(Deadline& deadline) noexcept {
    deadline.previous->next = deadline.next;
    deadline.next->previous = deadline.previous;
    const auto place = deadline.place_;
    if (place != due_place && lists_[place].next == &lists_[place])
        occupied_[place / slots] &= ~(std::uint64_t{1} << (place % slots));
}

// The level is that of the highest digit (base 64) in which the deadline differs from now, so that a slot never holds
// deadlines of two turns, and all of a level's deadlines lie in the slots after the current one.
void DeadlineWheel::place(Deadline& deadline) noexcept {
    if (deadline.tick_ <= now_) return link(deadline, due_place);
    const auto level = (63U - static_cast<unsigned>(std::countl_zero(deadline.tick_ ^ now_))) / slot_bits;
    const auto slot = static_cast<unsigned>(deadline.tick_ >> (slot_bits * level)) % slots;
    link(deadline, static_cast<std::uint16_t>(level * slots + slot));
}

void DeadlineWheel::arm(Deadline& deadline, TimePoint at) noexcept {
    disarm(deadline);
    deadline.tick_ = std::max(tick_at(at), now_ + 1);
    deadline.wheel_ = this;
    ++size_;
    place(deadline);
}

void DeadlineWheel::disarm(Deadline& deadline) noexcept {
    if (!deadline.wheel_) return;
    unlink(deadline);
    deadline.wheel_ = nullptr;
    --size_;
}

std::optional<std::uint64_t> DeadlineWheel::next_occupied() const noexcept {
    for (unsigned level = 0; level < levels; ++level) {
        const auto shift = slot_bits * level;
        if (occupied_[level] == 0) continue;
        const auto slot = static_cast<std::uint64_t>(std::countr_zero(occupied_[level])); // after the current one
        return (now_ >> (shift + slot_bits) << (shift + slot_bits)) | (slot << shift);
    }
    return std::nullopt;
}

// Moves time to a tick at which a slot begins, and places that slot's deadlines again, nearer or into the due list.
void DeadlineWheel::advance_to(std::uint64_t tick) noexcept {
    now_ = tick;
    for (unsigned level = levels; level-- > 0;) {
        const auto shift = slot_bits * level;
        if (tick % (std::uint64_t{1} << shift) != 0) continue;
        auto& head = lists_[level * slots + (tick >> shift) % slots];
        while (head.next != &head) {
            auto& deadline = static_cast<Deadline&>(*head.next);
            unlink(deadline);
            place(deadline);
        }
    }
}

void DeadlineWheel::expire(TimePoint now) {
    auto target = now <= origin_ ? 0 : static_cast<std::uint64_t>((now - origin_) / tick_);
    if (now == TimePoint::max()) target = std::max(tick_at(now), now_ + 1); // no tick ends after it
    auto& due = lists_[due_place];
    for (;;) {
        while (due.next != &due) {
            auto& deadline = static_cast<Deadline&>(*due.next);
            disarm(deadline);
            deadline.expired_(deadline);
        }
        const auto next = next_occupied();
        if (!next || *next > target) {
            now_ = std::max(now_, target);
            return;
        }
        advance_to(*next);
    }
}

std::optional<TimePoint> DeadlineWheel::next_wake() const noexcept {
    if (lists_[due_place].next != &lists_[due_place]) return end_of_ticks(origin_, tick_, now_);
    const auto next = next_occupied();
    if (!next) return std::nullopt;
    return end_of_ticks(origin_, tick_, *next);
}

} // namespace velostream
