// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/outcome_window.hpp"

#include <algorithm>
#include <new>

namespace velostream {

OutcomeWindow::OutcomeWindow(std::size_t size, std::uint32_t minimum) : size_(size), minimum_(minimum) {}

WindowEntry OutcomeWindow::record(std::uint32_t era, bool failed, bool slow) {
    if (!count(era)) return WindowEntry::late;
    const std::lock_guard lock{mutex_};
    if (era_ != era) return WindowEntry::late;
    // Under the lock, so that positions ascend.
    const auto position = shards_.outcomes();
    forget_until(position);
    if (failed) failed_.push(position);
    if (slow) slow_.push(position);
    return WindowEntry::to_judge;
}

WindowEntry OutcomeWindow::look_at_minimum(std::uint32_t era) noexcept {
    if (shards_.outcomes() > minimum_) {
        const std::lock_guard lock{mutex_};
        if (era_ == era) beyond_minimum_.store(era, std::memory_order_relaxed);
    }
    return WindowEntry::to_judge; // also beyond: of those that came at once nobody else may look
}

void OutcomeWindow::begin_era(std::uint32_t era) {
    const std::lock_guard lock{mutex_};
    era_ = era;
    failed_.clear();
    slow_.clear();
    beyond_minimum_.store(no_era, std::memory_order_relaxed);
    shards_.begin_era(era);
}

void OutcomeWindow::forget_until(std::uint64_t outcomes) const noexcept {
    if (outcomes <= size_) return;
    failed_.forget_until(outcomes - size_);
    slow_.forget_until(outcomes - size_);
}

OutcomeCounts OutcomeWindow::counts() const {
    const std::lock_guard lock{mutex_};
    const auto all = shards_.outcomes();
    forget_until(all);
    const auto calls = static_cast<std::uint32_t>(std::min(all, size_));
    return {calls, std::min(failed_.count(), calls), std::min(slow_.count(), calls)};
}

void OutcomeWindow::Positions::push(std::uint64_t position) noexcept {
    if (count_ == ring_.size()) grow();
    ring_[(first_ + count_++) & (ring_.size() - 1)] = position;
}

// Without memory for that it forgets the oldest position instead.
void OutcomeWindow::Positions::grow() noexcept {
    try {
        std::vector<std::uint64_t> larger(2 * ring_.size());
        for (std::size_t i = 0; i < count_; ++i) larger[i] = ring_[(first_ + i) & (ring_.size() - 1)];
        ring_.swap(larger);
        first_ = 0;
    } catch (const std::bad_alloc&) {
        forget_until(ring_[first_]);
    }
}

void OutcomeWindow::Positions::forget_until(std::uint64_t position) noexcept {
    while (count_ > 0 && ring_[first_] <= position) {
        first_ = (first_ + 1) & (ring_.size() - 1);
        --count_;
    }
}

} // namespace velostream
