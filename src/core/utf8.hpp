// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace velostream::detail {

/// The length of the well-formed UTF-8 character at the start of `text`, which is not empty; 0 if there is none.
std::size_t utf8_length(std::string_view text) noexcept;

/// `text` with a U+FFFD for every byte that belongs to no character.
std::string valid_utf8(std::string text);

/// `text` if it has at most `limit` bytes, else its beginning and `...`, together no longer than `limit`. Cuts no
/// UTF-8 character in two.
std::string cut(std::string text, std::size_t limit);

} // namespace velostream::detail
