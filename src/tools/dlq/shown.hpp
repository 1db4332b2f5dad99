// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "velostream/core/record_view.hpp"

namespace velostream::dlq {

/// Whether the bytes are UTF-8, as RFC 3629 has it.
bool is_text(std::string_view bytes) noexcept;

/// One line that a terminal shows and does not obey: text with escapes for what is not printable, or `0x…` for bytes
/// that are no text. Of more than `most` bytes the rest is cut, and `… (N bytes)` says so; a character is not cut.
std::string shown(std::string_view bytes, std::size_t most);
/// The same; `null` for null.
std::string shown(const NullableBytes& bytes, std::size_t most);

/// `deadbeef`
std::string hex(std::string_view bytes);

/// `2026-11-29T10:00:00.000Z`; outside the years 0 to 9999 as it is counted, `1700000000000000 ms`.
std::string to_text(WallTime time);

/// `1234567` as `1 234 567`.
std::string grouped(std::uint64_t number);

/// How many columns of a terminal the text takes: one for each character.
std::size_t columns(std::string_view text) noexcept;

/// As much of the text as fits into so many columns; `…` at the end where something is missing.
std::string cut_to_columns(std::string_view text, std::size_t most);

} // namespace velostream::dlq
