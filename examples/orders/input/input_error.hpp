// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <string>
#include <type_traits>

#include "velostream/base/error.hpp"

namespace orders {

/// What is wrong with an input as a whole, in contrast to one of its lines.
enum class InputErrc { unreadable = 1 };

boost::system::error_code make_error_code(InputErrc code);

/// `unreadable input: NAME: WHY`
velostream::Error unreadable(const std::string& name, const std::string& why);

} // namespace orders

template <>
struct boost::system::is_error_code_enum<orders::InputErrc> : std::true_type {};
