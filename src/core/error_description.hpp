// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "velostream/base/error.hpp"

namespace velostream::detail {

/// What a dead letter says about an error, in valid UTF-8 of bounded size.
struct ErrorDescription {
    std::string class_name;             ///< type of the exception, or `category:value` of the code
    std::string cause_class_name;       ///< the same of what is behind it; empty if nothing is
    std::optional<std::string> message; ///< null for an exception without one
    std::size_t message_size = 0;       ///< how long the message was before it was cut
    std::string chain;                  ///< JSON array of {"type", "message"}, outermost first; empty for a single link
    std::size_t chain_size = 0;         ///< how long it would be with the links that did not fit
};

ErrorDescription describe(const Error& error);

/// Equal for errors of one cause: type, class name and message, where numbers and quoted parts of the message count as
/// the same.
std::uint64_t fingerprint(std::string_view type, std::string_view class_name, std::string_view message) noexcept;

/// The chain with as many links as `limit` bytes hold; empty if they hold fewer than two, which say nothing more than
/// class and message do.
std::string cut_chain(std::string_view chain, std::size_t limit);

} // namespace velostream::detail
