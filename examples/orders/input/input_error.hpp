// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <string>
#include <type_traits>

#include "velostream/base/error.hpp"

namespace orders {

/// What is wrong with an input as a whole, in contrast to one of its lines.
enum class InputErrc { unreadable = 1 };

inline boost::system::error_code make_error_code(InputErrc code) {
    class Category final : public boost::system::error_category {
      public:
        const char* name() const noexcept override { return "orders.input"; }
        std::string message(int) const override { return "unreadable input"; }
    };
    static const Category category;
    return {static_cast<int>(code), category};
}

/// `unreadable input: NAME: WHY`
inline velostream::Error unreadable(const std::string& name, const std::string& why) {
    return {make_error_code(InputErrc::unreadable), name + ": " + why};
}

} // namespace orders

template <>
struct boost::system::is_error_code_enum<orders::InputErrc> : std::true_type {};
