// SPDX-License-Identifier: Apache-2.0
#include "core/utf8.hpp"

namespace velostream::detail {

std::size_t utf8_length(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto continues = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
        return i < text.size() && byte(i) >= low && byte(i) <= high;
    };
    const unsigned lead = byte(0);
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;  // no longer form than needed
        const unsigned high = lead == 0xED ? 0x9F : 0xBF; // no half of a surrogate pair
        return continues(1, low, high) && continues(2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
        return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

std::string valid_utf8(std::string text) {
    std::string_view rest = text;
    const auto skip_valid = [&rest] {
        while (!rest.empty())
            if (const auto length = utf8_length(rest); length != 0)
                rest.remove_prefix(length);
            else
                return;
    };
    skip_valid();
    if (rest.empty()) return text;

    std::string valid;
    valid.reserve(text.size() + 16);
    valid.append(text, 0, text.size() - rest.size());
    while (!rest.empty()) {
        valid.append("\xEF\xBF\xBD");
        rest.remove_prefix(1);
        const auto before = rest;
        skip_valid();
        valid.append(before.substr(0, before.size() - rest.size()));
    }
    return valid;
}

std::string cut(std::string text, std::size_t limit) {
    constexpr std::string_view mark = "...";
    if (text.size() <= limit) return text;
    if (limit < mark.size()) return {};
    auto end = limit - mark.size();
    const auto is_inside_character = [&](std::size_t i) {
        return (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
    };
    for (int back = 0; back < 3 && end > 0 && is_inside_character(end); ++back) --end;
    text.resize(end);
    return text.append(mark);
}

} // namespace velostream::detail
