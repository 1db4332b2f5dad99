// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string_view>

#include "velostream/base/error.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/record_view.hpp"

// Lets `fmt::format("{}", value)` and spdlog print this library's errors, states and kinds: an `Error` as its
// `message()`, a code as its text, everything else as its word. Width and alignment work as for strings. This is the
// one public header that includes fmt.

namespace velostream::detail {

template <class T>
    requires requires(T value) {
        { to_string(value) } -> std::same_as<std::string_view>;
    }
struct WordFormatter : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(T value, Context& context) const {
        return fmt::formatter<std::string_view>::format(to_string(value), context);
    }
};

} // namespace velostream::detail

template <>
struct fmt::formatter<velostream::ErrorType> : velostream::detail::WordFormatter<velostream::ErrorType> {};
template <>
struct fmt::formatter<velostream::CircuitState> : velostream::detail::WordFormatter<velostream::CircuitState> {};
template <>
struct fmt::formatter<velostream::PressureLevel> : velostream::detail::WordFormatter<velostream::PressureLevel> {};
template <>
struct fmt::formatter<velostream::FailedStage> : velostream::detail::WordFormatter<velostream::FailedStage> {};
template <>
struct fmt::formatter<velostream::TimestampType> : velostream::detail::WordFormatter<velostream::TimestampType> {};

template <>
struct fmt::formatter<velostream::Error> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const velostream::Error& error, Context& context) const {
        return fmt::formatter<std::string_view>::format(error.message(), context);
    }
};

template <>
struct fmt::formatter<velostream::Errc> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(velostream::Errc code, Context& context) const {
        return fmt::formatter<std::string_view>::format(make_error_code(code).message(), context);
    }
};

template <>
struct fmt::formatter<velostream::CircuitBreakerError> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(velostream::CircuitBreakerError error, Context& context) const {
        return fmt::formatter<std::string_view>::format(make_error_condition(error).message(), context);
    }
};
