// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/option_values.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>

namespace velostream::dlq {

namespace {

template <class Number>
std::optional<Number> number(std::string_view text, int base = 10) noexcept {
    Number value = 0;
    const auto* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value, base);
    if (parsed.ec != std::errc{} || parsed.ptr != end || text.starts_with('-')) return std::nullopt;
    return value;
}

/// Reads fixed numbers of digits and the signs between them.
class Reader {
  public:
    explicit Reader(std::string_view text) noexcept : rest_(text) {}

    std::optional<int> digits(std::size_t count) noexcept {
        if (rest_.size() < count) return std::nullopt;
        const auto part = rest_.substr(0, count);
        if (part.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
        rest_.remove_prefix(count);
        return number<int>(part);
    }
    bool take(char sign) noexcept {
        if (!rest_.starts_with(sign)) return false;
        rest_.remove_prefix(1);
        return true;
    }
    bool is_at_end() const noexcept { return rest_.empty(); }

  private:
    std::string_view rest_;
};

std::optional<WallTime> date_at(Reader& reader) noexcept {
    const auto year = reader.digits(4);
    if (!year || !reader.take('-')) return std::nullopt;
    const auto month = reader.digits(2);
    if (!month || !reader.take('-')) return std::nullopt;
    const auto day = reader.digits(2);
    if (!day) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                                           std::chrono::day{static_cast<unsigned>(*day)}};
    if (!date.ok()) return std::nullopt;
    return WallTime{std::chrono::sys_days{date}};
}

/// `10:00`, `10:00:30`, `10:00:30.250`
std::optional<std::chrono::milliseconds> clock_at(Reader& reader) noexcept {
    const auto hour = reader.digits(2);
    if (!hour || *hour > 23 || !reader.take(':')) return std::nullopt;
    const auto minute = reader.digits(2);
    if (!minute || *minute > 59) return std::nullopt;
    std::chrono::milliseconds time = std::chrono::hours{*hour} + std::chrono::minutes{*minute};
    if (!reader.take(':')) return time;
    const auto second = reader.digits(2);
    if (!second || *second > 59) return std::nullopt;
    time += std::chrono::seconds{*second};
    if (!reader.take('.')) return time;
    const auto milliseconds = reader.digits(3);
    if (!milliseconds) return std::nullopt;
    return time + std::chrono::milliseconds{*milliseconds};
}

} // namespace

std::optional<std::uint64_t> whole_number(std::string_view text) noexcept {
    return number<std::uint64_t>(text);
}

std::optional<std::chrono::milliseconds> time_span(std::string_view text) noexcept {
    using std::chrono::milliseconds;
    const auto unit_at = text.find_first_not_of("0123456789");
    if (unit_at == std::string_view::npos) return std::nullopt;
    const auto unit = text.substr(unit_at);
    const milliseconds one = unit == "ms"  ? milliseconds{1}
                             : unit == "s" ? std::chrono::seconds{1}
                             : unit == "m" ? std::chrono::minutes{1}
                             : unit == "h" ? std::chrono::hours{1}
                             : unit == "d" ? std::chrono::days{1}
                                           : milliseconds{0};
    constexpr milliseconds most = std::chrono::days{3653};
    const auto count = number<std::int64_t>(text.substr(0, unit_at));
    if (!count || *count == 0 || one == milliseconds{0} || *count > most / one) return std::nullopt;
    return *count * one;
}

std::optional<WallTime> point_in_time(std::string_view text, WallTime now) noexcept {
    if (const auto ago = time_span(text)) return now - *ago;
    Reader reader{text};
    auto time = date_at(reader);
    if (!time) return std::nullopt;
    if (reader.take('T')) {
        const auto clock = clock_at(reader);
        if (!clock) return std::nullopt;
        *time += *clock;
    }
    reader.take('Z');
    return reader.is_at_end() ? time : std::nullopt;
}

std::optional<Place> place(std::string_view text) noexcept {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto partition = number<std::int32_t>(text.substr(0, colon));
    const auto offset = number<std::int64_t>(text.substr(colon + 1));
    if (!partition || !offset) return std::nullopt;
    return Place{*partition, *offset};
}

std::optional<PartitionSpan> partition_span(std::string_view text) noexcept {
    const auto colon = std::min(text.find(':'), text.size());
    const auto partition = number<std::int32_t>(text.substr(0, colon));
    if (!partition) return std::nullopt;
    PartitionSpan span{.partition = *partition};
    if (colon == text.size()) return span;
    const auto offsets = text.substr(colon + 1);
    const auto dash = offsets.find('-');
    const auto from = number<std::int64_t>(offsets.substr(0, dash));
    if (!from) return std::nullopt;
    span.from = *from;
    if (dash == std::string_view::npos) {
        span.to = *from;
    } else if (dash + 1 < offsets.size()) {
        const auto to = number<std::int64_t>(offsets.substr(dash + 1));
        if (!to || *to < *from) return std::nullopt;
        span.to = *to;
    }
    return span;
}

std::optional<std::uint64_t> fingerprint(std::string_view text) noexcept {
    constexpr int hexadecimal = 16;
    return number<std::uint64_t>(text, hexadecimal);
}

std::optional<HeaderMatch> header_match(std::string_view text) {
    const auto sign = text.find('=');
    if (text.empty() || sign == 0) return std::nullopt;
    if (sign == std::string_view::npos) return HeaderMatch{std::string{text}, std::nullopt};
    return HeaderMatch{std::string{text.substr(0, sign)}, std::string{text.substr(sign + 1)}};
}

std::optional<std::pair<std::string, std::string>> property(std::string_view text) {
    const auto sign = text.find('=');
    if (sign == std::string_view::npos || sign == 0) return std::nullopt;
    return std::pair{std::string{text.substr(0, sign)}, std::string{text.substr(sign + 1)}};
}

bool is_topic(std::string_view text) noexcept {
    constexpr std::size_t longest = 249;
    return !text.empty() && text.size() <= longest && text != "." && text != ".." &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               std::string_view::npos;
}

} // namespace velostream::dlq
