// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/spool_frame.hpp"

#include <gtest/gtest.h>

#include <boost/crc.hpp>
#include <chrono>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace velostream {
namespace {

using namespace std::string_view_literals;
using namespace spool_format;

TEST(SpoolFrame, HasTheChecksumOfCastagnoli) {
    EXPECT_EQ(crc32c(""), 0u);
    EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
    EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu); // RFC 3720, B.4
    EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
}

TEST(SpoolFrame, TheChecksumIsTheSameForPiecesAndByWhateverItIsComputed) {
    std::mt19937 random{1};
    for (std::size_t size = 0; size < 100; ++size) {
        std::string bytes(size, '\0');
        for (auto& byte : bytes) byte = static_cast<char>(random());
        const auto cut = size / 3;

        boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> expected;
        expected.process_bytes(bytes.data(), bytes.size());

        EXPECT_EQ(crc32c(bytes), expected.checksum());
        EXPECT_EQ(crc32c(std::string_view{bytes}.substr(cut), crc32c(std::string_view{bytes}.substr(0, cut))),
                  expected.checksum());
    }
}

TEST(SpoolFrame, IsLaidOutAsSaid) {
    std::string file;
    append_frame(file, 0x0102030405060708, "ab");

    ASSERT_EQ(file.size(), frame_header_size + 2);
    EXPECT_EQ(file.substr(0, 8), "\xF5VLf\x02\0\0\0"sv);
    EXPECT_EQ(file.substr(12),
              "\x08\x07\x06\x05\x04\x03\x02\x01"
              "ab"sv);
    const auto frame = read_frame(file);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->sequence, 0x0102030405060708u);
    EXPECT_EQ(frame->payload, "ab");
    EXPECT_EQ(frame->size(), file.size());
}

TEST(SpoolFrame, AnyOtherBitOrLengthIsNoFrame) {
    std::string file;
    append_frame(file, 7, "payload");
    for (std::size_t size = 0; size < file.size(); ++size) EXPECT_FALSE(read_frame(file.substr(0, size))) << size;
    for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
        auto other = file;
        other[bit / 8] ^= static_cast<char>(1 << bit % 8);
        EXPECT_FALSE(read_frame(other)) << bit;
    }
    EXPECT_TRUE(read_frame(file + "more"));
}

TEST(SpoolFrame, IsFoundBehindWhateverElse) {
    std::string file = "\xF5VL\xF5VLf\xFF\xFF\xFF\xFF and so on";
    const auto before = file.size();
    append_frame(file, 7, "payload");

    EXPECT_EQ(find_frame(file), before);
    EXPECT_EQ(find_frame(file.substr(before)), 0u);
    EXPECT_EQ(find_frame(file.substr(before + 1)), file.size() - before - 1);
    EXPECT_EQ(find_frame(""), 0u);
}

void expect_same(const RecordView& left, const RecordView& right) {
    EXPECT_EQ(left.topic, right.topic);
    EXPECT_EQ(left.partition, right.partition);
    EXPECT_EQ(left.offset, right.offset);
    EXPECT_EQ(left.key, right.key);
    EXPECT_EQ(left.value, right.value);
    EXPECT_EQ(left.timestamp, right.timestamp);
    EXPECT_EQ(left.timestamp_type, right.timestamp_type);
    EXPECT_EQ((std::vector<HeaderView>{left.headers.begin(), left.headers.end()}),
              (std::vector<HeaderView>{right.headers.begin(), right.headers.end()}));
}

TEST(SpooledRecord, ComesBackByteForByte) {
    const std::vector<HeaderView> headers{{"a", "1"}, {"", std::nullopt}, {"a", ""}, {"b\0c"sv, "\0\xFF"sv}};
    const WallTime time{std::chrono::milliseconds{-5}};
    const RecordView full{.topic = "orders",
                          .partition = 3,
                          .offset = 1'234'567'890'123,
                          .key = "k\0"sv,
                          .value = "",
                          .headers = std::span<const HeaderView>{headers},
                          .timestamp = time,
                          .timestamp_type = TimestampType::log_append_time};
    const RecordView bare{};
    for (const auto& record : {full, bare}) {
        const auto payload = SpooledRecord::encoded(record);
        auto read = SpooledRecord::decoded(payload);
        ASSERT_TRUE(read);
        const auto moved = std::move(*read);
        expect_same(moved.record(), record);
    }
}

TEST(SpooledRecord, IsNeverReadFromAnythingElse) {
    const std::vector<HeaderView> headers{{"name", "value"}, {"other", std::nullopt}};
    const auto payload = SpooledRecord::encoded(
        {.topic = "t", .key = "k", .value = "v", .headers = std::span<const HeaderView>{headers}});
    for (std::size_t size = 0; size < payload.size(); ++size)
        EXPECT_FALSE(SpooledRecord::decoded(payload.substr(0, size))) << size;
    EXPECT_FALSE(SpooledRecord::decoded(payload + '\0'));
    EXPECT_FALSE(SpooledRecord::decoded('\2' + payload.substr(1)));
    EXPECT_FALSE(SpooledRecord::decoded(payload.substr(0, 1) + '\2' + payload.substr(2)));
    EXPECT_FALSE(SpooledRecord::decoded(payload.substr(0, 2) + '\3' + payload.substr(3)));

    std::mt19937 random{3}; // never beyond its end: for the sanitizers
    for (int round = 0; round < 20'000; ++round) {
        auto other = payload;
        for (auto changes = 1 + random() % 4; changes > 0; --changes)
            other[random() % other.size()] = static_cast<char>(random());
        static_cast<void>(SpooledRecord::decoded(other));
    }
}

} // namespace
} // namespace velostream
