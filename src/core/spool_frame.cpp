// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/spool_frame.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <chrono>
#include <concepts>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace velostream {

namespace spool_format {

namespace {

static_assert(std::endian::native == std::endian::little, "numbers lie in files as they lie in memory");

constexpr std::string_view magic{"\xF5VLf", 4};
constexpr std::size_t length_at = 4, checksum_at = 8, sequence_at = 12;

template <class Number>
Number number_at(std::string_view bytes, std::size_t at) noexcept {
    Number number{};
    std::memcpy(&number, bytes.data() + at, sizeof(number));
    return number;
}
template <class Number>
std::string_view bytes_of(const Number& number) noexcept {
    return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

// Of the state inside of the sum, which begins and ends inverted.
using Step = std::uint32_t (*)(std::uint32_t, std::string_view) noexcept;

// What each byte makes of a state that ends in it.
constexpr auto steps = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        auto state = byte;
        for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? 0x82F63B78u : 0u);
        table[byte] = state;
    }
    return table;
}();

std::uint32_t step_anywhere(std::uint32_t state, std::string_view bytes) noexcept {
    for (const char byte : bytes) state = (state >> 8) ^ steps[(state ^ static_cast<unsigned char>(byte)) & 0xFF];
    return state;
}

#if defined(__x86_64__)
[[gnu::target("sse4.2")]] std::uint32_t step_by_instruction(std::uint32_t state, std::string_view bytes) noexcept {
    std::uint64_t wide = state;
    for (; bytes.size() >= sizeof(wide); bytes.remove_prefix(sizeof(wide)))
        wide = _mm_crc32_u64(wide, number_at<std::uint64_t>(bytes, 0));
    auto narrow = static_cast<std::uint32_t>(wide);
    for (const char byte : bytes) narrow = _mm_crc32_u8(narrow, static_cast<unsigned char>(byte));
    return narrow;
}
Step fastest_step() noexcept {
    return __builtin_cpu_supports("sse4.2") ? step_by_instruction : step_anywhere;
}
#else
Step fastest_step() noexcept {
    return step_anywhere;
}
#endif

std::uint32_t checksum_of(std::uint32_t length, std::uint64_t sequence, std::string_view payload) noexcept {
    return crc32c(payload, crc32c(bytes_of(sequence), crc32c(bytes_of(length))));
}

} // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) noexcept {
    static const Step step = fastest_step();
    return ~step(~before, bytes);
}

void append_frame(std::string& file, std::uint64_t sequence, std::string_view payload) {
    assert(payload.size() <= largest_payload);
    const auto length = static_cast<std::uint32_t>(payload.size());
    const auto checksum = checksum_of(length, sequence, payload);
    file.append(magic).append(bytes_of(length)).append(bytes_of(checksum)).append(bytes_of(sequence)).append(payload);
}

std::optional<std::size_t> frame_size(std::string_view bytes) noexcept {
    if (bytes.size() < frame_header_size || !bytes.starts_with(magic)) return std::nullopt;
    const auto length = number_at<std::uint32_t>(bytes, length_at);
    if (length > largest_payload) return std::nullopt;
    return frame_header_size + length;
}

std::optional<Frame> read_frame(std::string_view bytes) noexcept {
    const auto size = frame_size(bytes);
    if (!size || *size > bytes.size()) return std::nullopt;
    const auto length = static_cast<std::uint32_t>(*size - frame_header_size);
    const Frame frame{number_at<std::uint64_t>(bytes, sequence_at), bytes.substr(frame_header_size, length)};
    if (checksum_of(length, frame.sequence, frame.payload) != number_at<std::uint32_t>(bytes, checksum_at))
        return std::nullopt;
    return frame;
}

std::size_t find_frame(std::string_view bytes) noexcept {
    auto at = bytes.find(magic);
    while (at != std::string_view::npos && !read_frame(bytes.substr(at))) at = bytes.find(magic, at + 1);
    return at == std::string_view::npos ? bytes.size() : at;
}

} // namespace spool_format

namespace {

using spool_format::bytes_of;

constexpr std::uint8_t frame_version = 1;
constexpr std::uint32_t null_length = std::numeric_limits<std::uint32_t>::max();

void put(std::string& to, const NullableBytes& bytes) {
    to.append(bytes_of(bytes ? static_cast<std::uint32_t>(bytes->size()) : null_length));
    if (bytes) to.append(*bytes);
}

// Reads one thing after the other; after the first that is not there, nothing more.
class Reader {
  public:
    explicit Reader(std::string_view bytes) noexcept : rest_(bytes) {}

    template <class Number>
    Number number() noexcept {
        if (rest_.size() < sizeof(Number)) return fail(), Number{};
        const auto read = spool_format::number_at<Number>(rest_, 0);
        rest_.remove_prefix(sizeof(Number));
        return read;
    }
    NullableBytes bytes() noexcept {
        const auto length = number<std::uint32_t>();
        if (length == null_length) return std::nullopt;
        if (length > rest_.size()) return fail(), std::nullopt;
        const auto read = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return read;
    }
    std::string_view text() noexcept {
        const auto read = bytes();
        if (!read) fail();
        return read.value_or(std::string_view{});
    }
    std::size_t left() const noexcept { return rest_.size(); }
    void fail() noexcept {
        rest_ = {};
        failed_ = true;
    }
    bool has_read_all() const noexcept { return !failed_ && rest_.empty(); }

  private:
    std::string_view rest_;
    bool failed_ = false;
};

} // namespace

std::string SpooledRecord::encoded(const RecordView& record) {
    std::string payload;
    const auto timestamp = record.timestamp.value_or(WallTime{}).time_since_epoch().count();
    payload.append(bytes_of(frame_version))
        .append(bytes_of(static_cast<std::uint8_t>(record.timestamp ? 1 : 0)))
        .append(bytes_of(record.timestamp_type))
        .append(bytes_of(record.partition))
        .append(bytes_of(record.offset))
        .append(bytes_of(static_cast<std::int64_t>(timestamp)));
    put(payload, record.topic);
    put(payload, record.key);
    put(payload, record.value);
    payload.append(bytes_of(static_cast<std::uint32_t>(record.headers.size())));
    for (const auto& header : record.headers) {
        put(payload, header.name);
        put(payload, header.value);
    }
    return payload;
}

std::optional<SpooledRecord> SpooledRecord::decoded(std::string_view payload) {
    SpooledRecord spooled;
    auto& record = spooled.record_;
    Reader reader{payload};
    if (reader.number<std::uint8_t>() != frame_version) return std::nullopt;
    const auto has_timestamp = reader.number<std::uint8_t>();
    const auto timestamp_type = reader.number<std::uint8_t>();
    record.partition = reader.number<std::int32_t>();
    record.offset = reader.number<std::int64_t>();
    const auto timestamp = reader.number<std::int64_t>();
    if (has_timestamp > 1 || timestamp_type > static_cast<std::uint8_t>(TimestampType::log_append_time))
        return std::nullopt;
    if (has_timestamp == 1) record.timestamp = WallTime{std::chrono::milliseconds{timestamp}};
    record.timestamp_type = TimestampType{timestamp_type};
    record.topic = reader.text();
    record.key = reader.bytes();
    record.value = reader.bytes();
    const auto count = reader.number<std::uint32_t>();
    if (count > reader.left() / (2 * sizeof(std::uint32_t))) return std::nullopt; // not so many fit
    spooled.headers_.reserve(count);
    for (std::uint32_t index = 0; index < count; ++index) {
        const auto name = reader.text();
        spooled.headers_.push_back({name, reader.bytes()});
    }
    if (!reader.has_read_all()) return std::nullopt;
    record.headers = std::span<const HeaderView>{spooled.headers_};
    return spooled;
}

} // namespace velostream
