// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

#include "velostream/core/record_view.hpp"

// What the writer and the reader of dead letters share: how names begin, and how numbers stand in headers.
namespace velostream::detail {

inline constexpr std::string_view own_prefix = "x-dlq-";
inline constexpr std::string_view connect_prefix = "__connect.errors.";
inline constexpr std::string_view streams_prefix = "__streams.errors.";
inline constexpr std::string_view share_group_prefix = "__dlq.errors.";
inline constexpr std::string_view spring_prefix = "kafka_dlt-";
/// Spring writes these on the way through its retry topics.
inline constexpr std::array<std::string_view, 4> spring_retry_prefixes{"kafka_original-", "kafka_exception-",
                                                                       "kafka_key-exception-", "retry_topic-"};

/// The whole of `text` as a decimal number.
template <std::integral Number>
std::optional<Number> decimal(std::string_view text, int base = 10) noexcept {
    Number number{};
    const auto* const end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, number, base);
    return !text.empty() && problem == std::errc{} && stop == end ? std::optional{number} : std::nullopt;
}

/// The number that `bytes` are, most significant byte first; nothing if they are not as many as it has.
template <std::signed_integral Number>
std::optional<Number> big_endian(std::string_view bytes) noexcept {
    if (bytes.size() != sizeof(Number)) return std::nullopt;
    std::uint64_t number = 0;
    for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
    return static_cast<Number>(number);
}

/// Its bytes, most significant first.
template <std::signed_integral Number>
std::array<char, sizeof(Number)> big_endian_bytes(Number number) noexcept {
    std::array<char, sizeof(Number)> bytes{};
    auto rest = static_cast<std::uint64_t>(number);
    for (auto at = bytes.size(); at > 0; rest >>= 8) bytes[--at] = static_cast<char>(rest & 0xFF);
    return bytes;
}

/// A time of a header: not before 1970 and not after the year 9999.
inline std::optional<WallTime> time_of(std::optional<std::int64_t> milliseconds) noexcept {
    constexpr std::int64_t last = 253'402'300'799'999;
    if (!milliseconds || *milliseconds < 0 || *milliseconds > last) return std::nullopt;
    return WallTime{std::chrono::milliseconds{*milliseconds}};
}

inline std::optional<TimestampType> timestamp_type_of(std::string_view word) noexcept {
    for (const auto type : {TimestampType::not_available, TimestampType::create_time, TimestampType::log_append_time})
        if (word == to_string(type)) return type;
    return std::nullopt;
}

/// A number as text, without an allocation.
class Digits {
  public:
    template <std::integral Number>
    explicit Digits(Number number) noexcept {
        end_ = std::to_chars(buffer_.data(), buffer_.data() + buffer_.size(), number).ptr;
    }
    explicit Digits(WallTime time) noexcept : Digits(std::int64_t{time.time_since_epoch().count()}) {}
    Digits(const Digits&) = delete;
    Digits& operator=(const Digits&) = delete;
    std::string_view text() const noexcept { return {buffer_.data(), end_}; }

  private:
    std::array<char, 24> buffer_;
    const char* end_;
};

} // namespace velostream::detail
