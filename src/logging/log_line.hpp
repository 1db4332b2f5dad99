// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <optional>
#include <string_view>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"

namespace velostream::detail {

/// One line of `key=value` pairs.
class LogLine {
  public:
    explicit LogLine(std::string_view event) { add("event", event); }

    LogLine& add(std::string_view key, std::string_view value);
    LogLine& add(std::string_view key, const Error& error) { return add(key, std::string_view{error.message()}); }
    LogLine& add(std::string_view key, std::integral auto value) {
        begin(key);
        fmt::format_to(fmt::appender(text_), "{}", value);
        return *this;
    }
    LogLine& add(std::string_view key, double value) {
        begin(key);
        fmt::format_to(fmt::appender(text_), "{:.1f}", value);
        return *this;
    }
    /// In milliseconds with as many decimals as it takes: `0.25ms`, `60000ms`.
    LogLine& add(std::string_view key, Duration value);
    template <class T>
    LogLine& add(std::string_view key, const std::optional<T>& value) {
        return value ? add(key, *value) : *this;
    }

    std::string_view text() const noexcept { return {text_.data(), text_.size()}; }

  private:
    void begin(std::string_view key);

    fmt::memory_buffer text_;
};

} // namespace velostream::detail
