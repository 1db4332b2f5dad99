// SPDX-License-Identifier: Apache-2.0
#include "logging/log_line.hpp"

#include <algorithm>

namespace velostream::detail {

namespace {

bool is_plain(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte > ' ' && byte != 0x7F && c != '"' && c != '=' && c != '\\';
}

bool is_plain(std::string_view value) noexcept {
    return !value.empty() && std::ranges::all_of(value, [](char c) { return is_plain(c); });
}

} // namespace

void LogLine::begin(std::string_view key) {
    if (text_.size() > 0) text_.push_back(' ');
    text_.append(key);
    text_.push_back('=');
}

LogLine& LogLine::add(std::string_view key, std::string_view value) {
    begin(key);
    if (is_plain(value)) {
        text_.append(value);
        return *this;
    }
    text_.push_back('"');
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            text_.push_back('\\');
            text_.push_back(c);
        } else if (c == '\n') {
            text_.append(std::string_view{"\\n"});
        } else if (byte < ' ' || byte == 0x7F) {
            fmt::format_to(fmt::appender(text_), "\\x{:02x}", byte);
        } else {
            text_.push_back(c);
        }
    }
    text_.push_back('"');
    return *this;
}

LogLine& LogLine::add(std::string_view key, Duration value) {
    begin(key);
    const auto milliseconds = std::chrono::duration<double, std::milli>{value}.count();
    fmt::format_to(fmt::appender(text_), "{}ms", milliseconds);
    return *this;
}

} // namespace velostream::detail
