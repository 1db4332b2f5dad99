// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/outcome_runs.hpp"

#include <new>

namespace velostream {

namespace {

constexpr std::size_t smallest_ring = 4;

} // namespace

OutcomeRuns::OutcomeRuns(std::pmr::memory_resource& memory) : ring_(smallest_ring, &memory) {}

void OutcomeRuns::push(std::uint64_t last, std::uint64_t length) noexcept {
    if (length == 0) return;
    count_ += length;
    if (runs_ > 0 && run(runs_ - 1).last + length == last) {
        auto& newest = run(runs_ - 1);
        newest.last = last;
        newest.length += length;
        return;
    }
    if (runs_ == ring_.size()) make_room();
    run(runs_++) = {last, length};
}

void OutcomeRuns::make_room() noexcept {
    try {
        std::pmr::vector<Run> larger(2 * ring_.size(), ring_.get_allocator());
        for (std::size_t i = 0; i < runs_; ++i) larger[i] = run(i);
        ring_.swap(larger);
        first_ = 0;
    } catch (const std::bad_alloc&) {
        run(1).length += run(0).length; // there are places enough: at least one success lies between the two
        drop_oldest();
    }
}

void OutcomeRuns::forget_some_until(std::uint64_t position) noexcept {
    while (runs_ > 0) {
        auto& oldest = run(0);
        if (oldest.last > position) {
            const auto left = oldest.last - position;
            if (left >= oldest.length) return;
            count_ -= oldest.length - left;
            oldest.length = left;
            return;
        }
        count_ -= oldest.length;
        drop_oldest();
    }
}

} // namespace velostream
