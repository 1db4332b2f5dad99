// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/flood_guard.hpp"

#include <algorithm>

namespace velostream {

FloodGuard::FloodGuard(const FloodGuardConfig& config) : config_(config) {
    if (config_.enabled) last_.reserve(config_.sample);
}

std::optional<FloodGuard::Hold> FloodGuard::on_letter(TimePoint now, bool blames_record, std::uint64_t fingerprint,
                                                      std::uint64_t processed) {
    if (!config_.enabled) return std::nullopt;
    if (blames_record) return on_bad_record(now, processed);
    if (hold_ && now < hold_->until) return hold_;

    const bool goes_on =
        before_ && processed == before_->processed && now <= saturating_add(before_->at, config_.window);
    in_a_row_ = goes_on ? in_a_row_ + 1 : 1;
    const Seen seen{now, fingerprint, processed};
    before_ = seen;
    if (last_.size() < config_.sample) {
        last_.push_back(seen);
    } else {
        last_[oldest_] = seen;
        oldest_ = (oldest_ + 1) % last_.size();
    }

    const bool is_after_a_hold = hold_ && now <= saturating_add(hold_->until, config_.window);
    const auto most = is_after_a_hold ? std::min(config_.max_in_a_row, most_after_a_hold - 1) : config_.max_in_a_row;
    if (in_a_row_ > most) return begin_hold(now, is_after_a_hold ? "not over yet" : "too many in a row");
    if (has_one_cause(now, processed)) return begin_hold(now, "one cause");
    return std::nullopt;
}

std::optional<FloodGuard::Hold> FloodGuard::on_bad_record(TimePoint now, std::uint64_t processed) {
    if (!config_.max_bad_ratio) return std::nullopt;
    if (now >= window_end_) {
        window_end_ = saturating_add(now, config_.window);
        bad_ = 0;
        processed_before_ = processed;
    }
    if (hold_ && now < hold_->until) return hold_;
    ++bad_;
    const auto all = bad_ + (processed - processed_before_);
    if (all < config_.sample || static_cast<double>(bad_) <= *config_.max_bad_ratio * static_cast<double>(all))
        return std::nullopt;
    window_end_ = TimePoint::min(); // counted anew afterwards
    return begin_hold(now, "too many bad records");
}

bool FloodGuard::has_one_cause(TimePoint now, std::uint64_t processed) const {
    if (config_.max_share >= 1 || last_.size() < config_.sample) return false;
    const auto& oldest = last_[oldest_];
    const auto letters = static_cast<double>(last_.size());
    const auto all = letters + static_cast<double>(processed - oldest.processed);
    if (now > saturating_add(oldest.at, config_.window) || letters <= least_of_all_records * all) return false;
    std::ptrdiff_t most = 0;
    for (const auto& seen : last_)
        most = std::max(most, std::ranges::count(last_, seen.fingerprint, &Seen::fingerprint));
    return static_cast<double>(most) > config_.max_share * letters;
}

FloodGuard::Hold FloodGuard::begin_hold(TimePoint now, std::string_view why) {
    hold_ = Hold{.until = saturating_add(now, config_.hold), .why = why};
    in_a_row_ = 0;
    before_.reset();
    last_.clear();
    oldest_ = 0;
    auto begun = *hold_;
    begun.begins = true;
    return begun;
}

} // namespace velostream
