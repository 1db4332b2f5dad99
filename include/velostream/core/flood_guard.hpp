// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/config/flood_guard_config.hpp"

namespace velostream {

/// Tells a flood of dead letters from records that fail one by one. See `FloodGuardConfig` for the rules.
///
/// Threads: one at a time.
class FloodGuard {
  public:
    /// Why the source stands still, and until when.
    struct Hold {
        TimePoint until;
        std::string_view why; ///< one of a few words, such as `one cause`
        bool begins = false;  ///< with this letter
    };

    /// `config` must be legal.
    explicit FloodGuard(const FloodGuardConfig& config);

    /// A record is to become a dead letter. Nothing if it may; else it must be held.
    ///
    /// `processed`: how many records were processed so far; it never falls.
    std::optional<Hold> on_letter(TimePoint now, bool blames_record, std::uint64_t fingerprint,
                                  std::uint64_t processed);

  private:
    struct Seen {
        TimePoint at;
        std::uint64_t fingerprint;
        std::uint64_t processed;
    };
    static constexpr std::uint32_t most_after_a_hold = 5;
    static constexpr double least_of_all_records = 0.2;

    std::optional<Hold> on_bad_record(TimePoint now, std::uint64_t processed);
    bool has_one_cause(TimePoint now, std::uint64_t processed) const;
    Hold begin_hold(TimePoint now, std::string_view why);

    const FloodGuardConfig config_;
    std::vector<Seen> last_; // a ring of the last `sample`, empty slots not there yet
    std::size_t oldest_ = 0; // in it, once it is full
    std::uint32_t in_a_row_ = 0;
    std::optional<Seen> before_; // the last one
    std::optional<Hold> hold_;   // the last one, perhaps over
    // Of the present `window`, for bad records.
    TimePoint window_end_ = TimePoint::min();
    std::uint64_t bad_ = 0;
    std::uint64_t processed_before_ = 0;
};

} // namespace velostream
