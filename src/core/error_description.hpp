// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "velostream/base/error.hpp"

namespace velostream::detail {

/// What a dead letter says about an error, in texts of bounded size.
struct ErrorDescription {
    std::string class_name;             ///< type of the exception, or `category:value` of the code
    std::optional<std::string> message; ///< null for an exception without one
    std::string chain;                  ///< JSON array of {"type", "message"}, outermost first; empty for a single link
};

ErrorDescription describe(const Error& error);

/// Equal for errors of one cause: type, code, class name and message, where numbers and quoted parts of the message
/// count as the same.
std::uint64_t fingerprint(const Error& error, const ErrorDescription& description) noexcept;

/// `text` if it has at most `limit` bytes, else its beginning and `...`, together no longer than `limit`. Cuts no
/// UTF-8 character in two.
std::string cut(std::string text, std::size_t limit);

} // namespace velostream::detail
