// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/counted_outcomes.hpp"

#include "velostream/core/timed_outcomes.hpp"

namespace velostream {

CountedOutcomes::CountedOutcomes(std::size_t size, std::pmr::memory_resource& memory)
    : size_(size), failed_(memory), slow_(memory) {}

CountedOutcomes::CountedOutcomes(const TimedOutcomes& timed, std::uint64_t all, std::size_t size,
                                 std::pmr::memory_resource& memory)
    : CountedOutcomes(size, memory) {
    base_ = timed.beginning();
    timed.for_each(all, [&](TimePoint, std::uint64_t before, const OutcomeCounts& bucket) {
        failed_.push(before + bucket.calls, bucket.failures);
        slow_.push(before + bucket.calls, bucket.slow);
    });
}

void CountedOutcomes::clear() noexcept {
    base_ = 0;
    failed_.clear();
    slow_.clear();
}

void CountedOutcomes::resize(std::size_t size, std::uint64_t all) noexcept {
    base_ = beginning(all);
    size_ = size;
}

} // namespace velostream
