// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/core/dead_letter_envelope.hpp"

namespace velostream {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

constexpr WallTime failed_at{1'700'000'000'000ms};
constexpr WallTime written_at{1'600'000'000'000ms};

class DeadLetterFixture : public ::testing::Test {
  protected:
    const std::array<HeaderView, 3> headers{HeaderView{"trace", "a"}, HeaderView{"empty", ""},
                                            HeaderView{"trace", std::nullopt}};
    RecordView record{.topic = "orders",
                      .partition = 3,
                      .offset = 41,
                      .key = "17850",
                      .value = std::string_view{"6\0lamps", 7},
                      .headers = std::span<const HeaderView>{headers},
                      .timestamp = written_at,
                      .timestamp_type = TimestampType::create_time};
    Error error{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "Quantity: \"0\""};
    DeadLetterQueueConfig config;
    DeadLetterContext context{.application = "totals",
                              .instance = "2",
                              .group = "billing",
                              .handler = "sum",
                              .stack_trace = "totals+0x10\ntotals+0x20",
                              .now = failed_at};

    DeadLetter letter() const { return make_dead_letter(record, error, config, context); }
};

inline std::string text(const DeadLetter& letter, std::string_view name) {
    const auto* header = letter.header(name);
    if (!header) return "<absent>";
    return header->value ? std::string{*header->value} : "<null>";
}

inline Names names(const DeadLetter& letter) {
    Names all;
    for (const auto& header : letter.headers()) all.emplace_back(header.name);
    return all;
}

} // namespace velostream
