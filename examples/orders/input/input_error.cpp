// SPDX-License-Identifier: Apache-2.0
#include "input/input_error.hpp"

namespace orders {

boost::system::error_code make_error_code(InputErrc code) {
    class Category final : public boost::system::error_category {
      public:
        const char* name() const noexcept override { return "orders.input"; }
        std::string message(int) const override { return "unreadable input"; }
    };
    static const Category category;
    return {static_cast<int>(code), category};
}

velostream::Error unreadable(const std::string& name, const std::string& why) {
    return {make_error_code(InputErrc::unreadable), name + ": " + why};
}

} // namespace orders
