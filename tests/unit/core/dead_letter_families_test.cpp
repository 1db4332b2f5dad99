// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dead_letter_fixture.hpp"

namespace velostream {
namespace {

using namespace std::string_view_literals;
using Headers = std::vector<HeaderView>;

class DeadLetterFamilies : public DeadLetterFixture {
  protected:
    DeadLetterFamilies() {
        try {
            throw std::invalid_argument("not a number");
        } catch (...) {
            try {
                std::throw_with_nested(std::runtime_error("line 7"));
            } catch (...) {
                error = Error::from_exception(std::current_exception());
            }
        }
    }

    /// The headers of the letter whose names begin with `prefix`.
    static Headers family(const DeadLetter& letter, std::string_view prefix) {
        Headers headers;
        for (const auto& header : letter.headers())
            if (header.name.starts_with(prefix)) headers.push_back(header);
        return headers;
    }
};

TEST_F(DeadLetterFamilies, ConnectsAreTextUnderConnectsNames) {
    const auto made = letter();

    EXPECT_EQ(family(made, "__connect.errors."),
              (Headers{{"__connect.errors.topic", "orders"},
                       {"__connect.errors.partition", "3"},
                       {"__connect.errors.offset", "41"},
                       {"__connect.errors.connector.name", "totals"},
                       {"__connect.errors.task.id", "2"},
                       {"__connect.errors.class.name", "sum"},
                       {"__connect.errors.stage", "TRANSFORMATION"},
                       {"__connect.errors.exception.class.name", "std::runtime_error"},
                       {"__connect.errors.exception.message", "line 7"},
                       {"__connect.errors.exception.stacktrace", "totals+0x10\ntotals+0x20"}}));
}

TEST_F(DeadLetterFamilies, SpringsNumbersAreBigEndianOfTheirWidth) {
    config.header_families = {.connect = false, .spring = true};
    record.partition = 0x01020304;
    record.offset = 0x0102030405060708;

    const auto made = letter();

    EXPECT_EQ(family(made, "kafka_"), (Headers{{"kafka_dlt-original-topic", "orders"},
                                               {"kafka_dlt-original-partition", "\x01\x02\x03\x04"sv},
                                               {"kafka_dlt-original-offset", "\x01\x02\x03\x04\x05\x06\x07\x08"sv},
                                               {"kafka_dlt-original-timestamp", "\x00\x00\x01\x74\x87\x6E\x80\x00"sv},
                                               {"kafka_dlt-original-timestamp-type", "CreateTime"},
                                               {"kafka_dlt-original-consumer-group", "billing"},
                                               {"kafka_dlt-exception-fqcn", "std::runtime_error"},
                                               {"kafka_dlt-exception-cause-fqcn", "std::invalid_argument"},
                                               {"kafka_dlt-exception-message", "line 7"},
                                               {"kafka_dlt-exception-stacktrace", "totals+0x10\ntotals+0x20"}}));
    EXPECT_TRUE(family(made, "__connect").empty());
}

TEST_F(DeadLetterFamilies, TellTheFirstRecordOfTheFirstPartition) {
    config.header_families = {.connect = true, .spring = true, .streams = true};
    record.partition = 0;
    record.offset = 0;

    const auto made = letter();

    for (const auto* name : {"__connect.errors.partition", "__connect.errors.offset", "__streams.errors.partition",
                             "__streams.errors.offset"})
        EXPECT_EQ(text(made, name), "0") << name;
    EXPECT_EQ(text(made, "kafka_dlt-original-partition"), std::string(4, '\0'));
    EXPECT_EQ(text(made, "kafka_dlt-original-offset"), std::string(8, '\0'));
}

TEST_F(DeadLetterFamilies, StreamsAreTextUnderStreamsNames) {
    config.header_families = {.connect = false, .streams = true};

    const auto made = letter();

    EXPECT_EQ(family(made, "__streams.errors."), (Headers{{"__streams.errors.exception", "std::runtime_error"},
                                                          {"__streams.errors.message", "line 7"},
                                                          {"__streams.errors.stacktrace", "totals+0x10\ntotals+0x20"},
                                                          {"__streams.errors.topic", "orders"},
                                                          {"__streams.errors.partition", "3"},
                                                          {"__streams.errors.offset", "41"}}));
}

TEST_F(DeadLetterFamilies, OursAreWrittenWhicheverTheOthersAre) {
    const auto ours = family(letter(), "x-dlq-");
    ASSERT_EQ(ours.size(), 11u);

    for (const auto& families :
         {HeaderFamilies{.connect = false, .spring = true}, HeaderFamilies{.connect = false, .streams = true},
          HeaderFamilies{.connect = true, .spring = true, .streams = true}}) {
        config.header_families = families;
        const auto made = letter();
        const auto same = family(made, "x-dlq-");
        ASSERT_EQ(same.size(), ours.size());
        EXPECT_EQ(made.headers().back().name, ours.back().name) << "they come last";
        for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_EQ(same[i].name, ours[i].name);
    }
}

TEST_F(DeadLetterFamilies, AnExceptionThatSaysNothingHasANullMessageInTextAndNoneForSpring) {
    config.header_families = {.connect = true, .spring = true, .streams = true};
    error = Error{Errc::operation_failed}.with_cause(std::make_exception_ptr(42));

    const auto made = letter();

    EXPECT_EQ(text(made, "__connect.errors.exception.message"), "<null>");
    EXPECT_EQ(text(made, "__streams.errors.message"), "<null>");
    EXPECT_EQ(text(made, "kafka_dlt-exception-message"), "<absent>");
    EXPECT_EQ(text(made, "kafka_dlt-exception-cause-fqcn"), "<absent>") << "nothing is behind it";
}

TEST_F(DeadLetterFamilies, LeaveOutWhatNobodyKnows) {
    config.header_families = {.connect = true, .spring = true, .streams = true};
    config.include_error_details = false;
    record = RecordView{.topic = ""};
    context = DeadLetterContext{.now = failed_at};

    EXPECT_EQ(names(letter()), (Names{"x-dlq-version", "x-dlq-id"}));
}

TEST_F(DeadLetterFamilies, AreReplacedWhenARecordComesRoundAgain) {
    config.header_families = {.connect = true, .spring = true, .streams = true};
    const auto first = letter();
    record.headers = HeadersView{first.headers()};
    record.topic = "orders-again";
    record.partition = 5;
    record.offset = 7;
    record.timestamp = failed_at;
    context.now = failed_at + 1h;

    const auto second = letter();

    EXPECT_EQ(names(second), names(first));
    EXPECT_EQ(text(second, "__connect.errors.topic"), "orders-again");
    EXPECT_EQ(text(second, "__streams.errors.topic"), "orders-again");
    EXPECT_EQ(text(second, "kafka_dlt-original-topic"), "orders-again");
    EXPECT_EQ(text(second, "kafka_dlt-original-partition"), "\0\0\0\5"sv);
    EXPECT_EQ(text(second, "kafka_dlt-original-timestamp"), text(first, "kafka_dlt-original-timestamp"));
    EXPECT_EQ(text(second, "x-dlq-id"), text(first, "x-dlq-id"));
}

TEST_F(DeadLetterFamilies, ThatAreNotWrittenAreTheRecordsOwn) {
    const std::array<HeaderView, 3> foreign{HeaderView{"kafka_dlt-original-topic", "elsewhere"},
                                            HeaderView{"__streams.errors.topic", "elsewhere"},
                                            HeaderView{"__dlq.errors.topic", "elsewhere"}};
    record.headers = std::span<const HeaderView>{foreign};

    const auto made = letter();

    EXPECT_TRUE(std::ranges::equal(made.headers().first(3), foreign));
}

TEST_F(DeadLetterFamilies, TheNumberOfRedrivesStays) {
    const std::array<HeaderView, 1> redriven{HeaderView{"x-dlq-redrive-count", "2"}};
    record.headers = std::span<const HeaderView>{redriven};

    EXPECT_EQ(text(letter(), "x-dlq-redrive-count"), "2");
}

TEST_F(DeadLetterFamilies, WhatAnEarlierRoundLeftIsTakenOverOnlyIfItIsWhatItShouldBe) {
    const std::array<HeaderView, 5> broken{HeaderView{"x-dlq-id", ""}, HeaderView{"x-dlq-first-failure-ms", "soon"},
                                           HeaderView{"x-dlq-original-timestamp", "-1"},
                                           HeaderView{"x-dlq-original-timestamp-type", "Never"},
                                           HeaderView{"x-dlq-redrive-count", "4294967296"}};
    record.headers = std::span<const HeaderView>{broken};

    const auto made = letter();

    EXPECT_EQ(made.id(), "orders/3/41/billing/sum");
    EXPECT_EQ(text(made, "x-dlq-first-failure-ms"), "1700000000000");
    EXPECT_EQ(text(made, "x-dlq-original-timestamp"), "1600000000000");
    EXPECT_EQ(text(made, "x-dlq-original-timestamp-type"), "CreateTime");
    EXPECT_EQ(text(made, "x-dlq-redrive-count"), "<absent>");
}

} // namespace
} // namespace velostream
