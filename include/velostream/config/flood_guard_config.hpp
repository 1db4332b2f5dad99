// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "velostream/base/units.hpp"

namespace velostream {

/// When so many records become dead letters that something else must be wrong, and the source has to stand still.
///
/// Counted are errors that do not blame the record, such as timeouts. Records that are bad themselves never count, but
/// for `max_bad_ratio`.
struct FloodGuardConfig {
    /// Off: every record that the policy takes becomes a dead letter. Default on.
    bool enabled = true;

    /// Dead letters in a row, none older than `window` when the next one comes, and no record between them that
    /// `record_processed` was told of: one more holds the source. Legal: ≥ 1. Default 100.
    std::uint32_t max_in_a_row = 100;

    /// Of the last `sample` dead letters the part that may have one cause (their fingerprint), where they all came
    /// within `window` and are more than a fifth of the records that the queue knows of. Legal: > 0 to 1; 1 never holds
    /// the source. Default 0.9.
    double max_share = 0.9;

    /// How many are looked at for `max_share` and `max_bad_ratio`. Legal: 2 to 200. Default 50.
    std::uint32_t sample = 50;

    /// Legal: > 0. Default 60 s.
    Duration window = std::chrono::seconds{60};

    /// How long the source stands still. For `window` after that five dead letters in a row are enough to hold it
    /// again. Legal: > 0. Default 10 s.
    Duration hold = std::chrono::seconds{10};

    /// Of the records within `window`, the part that may be bad themselves, once `sample` of them are known; needs
    /// `record_processed`. Legal: > 0 to 1. Default none.
    std::optional<double> max_bad_ratio = std::nullopt;
};

} // namespace velostream
