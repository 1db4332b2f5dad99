// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "velostream/base/units.hpp"

namespace velostream {

/// What giving memory back costs: what is cheaper comes first.
enum class ReclaimKind : std::uint8_t {
    expired, ///< windows and groups that nobody needs any more
    flush,   ///< buffers that can be sent or written early
    spill,   ///< state that can go to disk
    pause,   ///< sources that can wait
};

std::string_view to_string(ReclaimKind kind) noexcept;

/// In which order reclaimers are asked during one reclaim, and when it has ended: cheaper kinds first, within a kind
/// whoever says he could free most. Who failed, or freed nothing, is not asked again in this reclaim: so it ends.
///
/// Threads: one at a time. Asks nobody anything: estimates are arguments.
class ReclaimPlan {
  public:
    struct Candidate {
        std::size_t id;
        ReclaimKind kind;
        Bytes estimate; ///< what it could free now; 0: nothing
    };

    struct Request {
        std::size_t id;
        Bytes wanted; ///< all that is missing
    };
    /// Whom to ask next where so many bytes are `missing`; nothing if none are, or if nobody is left.
    std::optional<Request> next(Bytes missing, const std::vector<Candidate>& candidates) const;

    /// The one who was asked has ended, with so many bytes freed.
    void on_reclaimed(std::size_t id, Bytes freed);

  private:
    bool is_done_with(std::size_t id) const noexcept;

    std::vector<std::size_t> done_with_;
};

} // namespace velostream
