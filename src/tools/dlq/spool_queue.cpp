// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "tools/dlq/letter_queue.hpp"

namespace velostream::dlq {

Result<SpoolQueue> SpoolQueue::open(const std::string& spool) {
    auto locked = LockedSpool::open(spool);
    if (!locked) return locked.error();
    auto names = locked->segments();
    if (!names) return names.error();
    return SpoolQueue{std::move(*locked), std::move(*names)};
}

asio::awaitable<Result<std::span<const Letter>>> SpoolQueue::next() {
    for (;;) {
        if (auto left = leave_segment(); !left) failure_ = left.error();
        if (failure_ || is_stopped_ || next_name_ == names_.size()) co_return std::span<const Letter>{};
        auto segment = spool_.read(names_[next_name_++]);
        if (!segment) co_return segment.error();
        segment_.emplace(std::move(*segment));
        auto damaged = damage_of(*segment_, next_name_ == names_.size());
        is_damaged_ = damaged > 0;
        const auto& frames = segment_->frames();
        done_.assign(frames.size(), false);
        records_.reserve(frames.size()); // letters look into them
        for (std::size_t at = 0; at < frames.size(); ++at) {
            auto spooled = SpooledRecord::decoded(frames[at].payload);
            if (!spooled) {
                damaged += frames[at].size();
                continue;
            }
            records_.push_back(std::move(*spooled));
            letters_.push_back({{0, static_cast<std::int64_t>(frames[at].sequence)}, records_.back().record()});
            of_letter_.push_back(at);
        }
        if (damaged > 0) damage_.push_back({segment_->name(), damaged});
        passed_ += letters_.size();
        if (!letters_.empty()) co_return std::span<const Letter>{letters_};
    }
}

// What is done of it is taken away; a file of which nothing is done stays as it is.
Result<void> SpoolQueue::leave_segment() {
    letters_.clear();
    records_.clear();
    of_letter_.clear();
    if (!segment_) return {};
    const auto segment = std::exchange(segment_, std::nullopt);
    if (std::ranges::find(done_, true) == done_.end()) return {};
    std::vector<spool_format::Frame> left;
    for (std::size_t at = 0; at < done_.size(); ++at)
        if (!done_[at]) left.push_back(segment->frames()[at]);
    if (is_damaged_)
        if (auto kept = spool_.set_aside(*segment); !kept) return kept;
    return spool_.keep(*segment, left);
}

asio::awaitable<Result<void>> SpoolQueue::finish() {
    auto left = leave_segment();
    if (failure_) co_return *failure_;
    co_return left;
}

} // namespace velostream::dlq
