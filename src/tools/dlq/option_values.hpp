// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tools/dlq/filter.hpp"
#include "tools/dlq/letter.hpp"
#include "velostream/base/units.hpp"

namespace velostream::dlq {

// What stands behind the options of the command line; nothing where the text is not that.

/// Decimal digits and nothing else.
std::optional<std::uint64_t> whole_number(std::string_view text) noexcept;

/// `500ms`, `30s`, `5m`, `1h`, `7d`; more than nothing and at most ten years.
std::optional<std::chrono::milliseconds> time_span(std::string_view text) noexcept;

/// `2026-11-29`, `2026-11-29T10:00`, `…:30`, `….250`, each with or without `Z` and always UTC; or a span of time, which
/// means so long before `now`.
std::optional<WallTime> point_in_time(std::string_view text, WallTime now) noexcept;

/// `0:42`
std::optional<Place> place(std::string_view text) noexcept;

/// `3`, `3:100`, `3:100-200`, `3:100-`: a partition, and the offsets from the first to the last.
std::optional<PartitionSpan> partition_span(std::string_view text) noexcept;

/// Sixteen hexadecimal digits, or fewer: leading zeros may be left out.
std::optional<std::uint64_t> fingerprint(std::string_view text) noexcept;

/// `name`: whatever its value; `name=value`.
std::optional<HeaderMatch> header_match(std::string_view text);

/// `name=value` of the client library.
std::optional<std::pair<std::string, std::string>> property(std::string_view text);

/// 1 to 249 letters, digits and `.`, `_`, `-`, neither `.` nor `..`.
bool is_topic(std::string_view text) noexcept;

} // namespace velostream::dlq
