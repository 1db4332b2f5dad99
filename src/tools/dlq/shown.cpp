// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/shown.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>

namespace velostream::dlq {

namespace {

struct Character {
    char32_t code = 0;
    std::size_t size = 0;
};

/// The first character; nothing if the bytes begin with none. Overlong forms, surrogates and what is beyond Unicode are
/// none.
std::optional<Character> first_character(std::string_view bytes) noexcept {
    const auto byte = [&bytes](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
    if (bytes.empty()) return std::nullopt;
    if (byte(0) < 0x80) return Character{byte(0), 1};
    const std::size_t size = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : byte(0) >= 0xC0 ? 2 : 0;
    if (size == 0 || byte(0) > 0xF4 || bytes.size() < size) return std::nullopt;
    char32_t code = byte(0) & (0x7FU >> size);
    for (std::size_t at = 1; at < size; ++at) {
        if ((byte(at) & 0xC0) != 0x80) return std::nullopt;
        code = (code << 6) | (byte(at) & 0x3FU);
    }
    constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[size] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return std::nullopt;
    return Character{code, size};
}

// Moves the cursor, changes colours or the direction of what follows.
bool is_control(char32_t code) noexcept {
    const auto between = [code](char32_t first, char32_t last) { return code >= first && code <= last; };
    return code < 0x20 || between(0x7F, 0x9F) || code == 0x061C || between(0x200E, 0x200F) || between(0x2028, 0x202E) ||
           between(0x2066, 0x2069) || code == 0xFEFF;
}

std::string escaped(char32_t code) {
    switch (code) {
        case U'\n':
            return "\\n";
        case U'\r':
            return "\\r";
        case U'\t':
            return "\\t";
        default:
            return code < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(code))
                               : fmt::format("\\u{:04x}", static_cast<unsigned>(code));
    }
}

} // namespace

bool is_text(std::string_view bytes) noexcept {
    while (!bytes.empty()) {
        const auto character = first_character(bytes);
        if (!character) return false;
        bytes.remove_prefix(character->size);
    }
    return true;
}

std::string hex(std::string_view bytes) {
    std::string text;
    text.reserve(2 * bytes.size());
    for (const char byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", static_cast<unsigned char>(byte));
    return text;
}

std::string shown(std::string_view bytes, std::size_t most) {
    const auto cut = [&](std::size_t shown_bytes) {
        return shown_bytes < bytes.size() ? fmt::format("… ({} bytes)", grouped(bytes.size())) : std::string{};
    };
    if (!is_text(bytes)) {
        const auto part = bytes.substr(0, most);
        return "0x" + hex(part) + cut(part.size());
    }
    std::string text;
    std::size_t at = 0;
    while (at < bytes.size()) {
        const auto [code, size] = *first_character(bytes.substr(at));
        if (at + size > most) break;
        if (code == U'\\')
            text += "\\\\";
        else if (is_control(code))
            text += escaped(code);
        else
            text += bytes.substr(at, size);
        at += size;
    }
    return text + cut(at);
}

std::string shown(const NullableBytes& bytes, std::size_t most) {
    return bytes ? shown(*bytes, most) : "null";
}

std::string to_text(WallTime time) {
    constexpr std::int64_t first = -62'167'219'200'000, last = 253'402'300'799'999; // of the years 0 to 9999
    const std::int64_t count = time.time_since_epoch().count();
    if (count < first || count > last) return fmt::format("{} ms", count);
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                       clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

std::string grouped(std::uint64_t number) {
    auto text = std::to_string(number);
    constexpr std::size_t group = 3;
    for (auto at = text.size(); at > group;) text.insert(at -= group, 1, ' ');
    return text;
}

std::size_t columns(std::string_view text) noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

std::string cut_to_columns(std::string_view text, std::size_t most) {
    if (columns(text) <= most) return std::string{text};
    if (most == 0) return {};
    std::size_t at = 0;
    for (std::size_t left = most - 1; left > 0; --left) {
        const auto character = first_character(text.substr(at));
        at += character ? character->size : 1;
    }
    return std::string{text.substr(0, at)} + "…";
}

} // namespace velostream::dlq
