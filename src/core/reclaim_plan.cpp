// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/reclaim_plan.hpp"

#include <algorithm>
#include <utility>

namespace velostream {

std::string_view to_string(ReclaimKind kind) noexcept {
    switch (kind) {
        case ReclaimKind::expired:
            return "expired";
        case ReclaimKind::flush:
            return "flush";
        case ReclaimKind::spill:
            return "spill";
        case ReclaimKind::pause:
            return "pause";
    }
    return "unknown";
}

bool ReclaimPlan::is_done_with(std::size_t id) const noexcept {
    return std::ranges::find(done_with_, id) != done_with_.end();
}

auto ReclaimPlan::next(Bytes missing, const std::vector<Candidate>& candidates) const -> std::optional<Request> {
    if (missing == 0) return std::nullopt;
    const Candidate* best = nullptr;
    const auto is_better = [](const Candidate& one, const Candidate& other) {
        return std::pair{one.kind, other.estimate} < std::pair{other.kind, one.estimate};
    };
    for (const auto& candidate : candidates) {
        if (candidate.estimate == 0 || is_done_with(candidate.id)) continue;
        if (best == nullptr || is_better(candidate, *best)) best = &candidate;
    }
    if (best == nullptr) return std::nullopt;
    return Request{best->id, missing};
}

void ReclaimPlan::on_reclaimed(std::size_t id, Bytes freed) {
    if (freed == 0) done_with_.push_back(id);
}

} // namespace velostream
