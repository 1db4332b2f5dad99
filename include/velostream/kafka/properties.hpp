// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace velostream::kafka {

/// Properties of the client library by name, such as `security.protocol`; they overrule what this library sets.
using Properties = std::map<std::string, std::string>;

/// True for properties whose value must not be seen: passwords, keys, tokens.
bool is_secret(std::string_view property) noexcept;

/// `name=value, name=value`, with `***` for the values that must not be seen, and for those of names that the client
/// library does not have: one may be a mistyped `sasl.password`. For logs and messages.
std::string masked(const Properties& properties);

} // namespace velostream::kafka
