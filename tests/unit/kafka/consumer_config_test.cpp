// SPDX-License-Identifier: Apache-2.0
// What cannot be read from a client is seen in what the client library refuses: settings that contradict it.
#include "velostream/kafka/consumer_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <stdexcept>
#include <string>

#include "velostream/kafka/consumer.hpp"

namespace velostream::kafka {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

ConsumerConfig config() {
    return {.bootstrap_servers = "localhost:9", .group_id = "g", .topics = {"t"}};
}

std::string refusal_of(const ConsumerConfig& config) {
    boost::asio::io_context io;
    try {
        const Consumer consumer{io.get_executor(), config};
    } catch (const std::invalid_argument& problem) {
        return problem.what();
    }
    return "accepted";
}

TEST(ConsumerConfig, WhatThisLibraryReliesOnCannotBeSet) {
    for (const auto* name : {"enable.auto.offset.store", "enable.auto.commit", "enabled_events", "log.queue"}) {
        auto settings = config();
        settings.properties = {{name, "0"}};

        const auto problems = validate(settings);

        ASSERT_EQ(problems.size(), 1U) << name;
        EXPECT_EQ(problems.front().field, std::string{"properties."} + name);
        EXPECT_EQ(problems.front().legal, "is set by this library");
    }
}

// The client library takes no session_timeout beyond the time in which it must have been polled.
TEST(ConsumerConfig, AClientMayGoWithoutPollsForFiveMinutesOrForItsSession) {
    auto settings = config();
    settings.session_timeout = 10s;
    settings.properties = {{"session.timeout.ms", "300000"}};
    EXPECT_EQ(refusal_of(settings), "accepted");
    settings.properties = {{"session.timeout.ms", "300001"}};
    EXPECT_THAT(refusal_of(settings), HasSubstr("max.poll.interval.ms"));

    settings.properties.clear();
    settings.session_timeout = 10min;
    EXPECT_EQ(refusal_of(settings), "accepted");
}

// The client library takes no more than five minutes.
TEST(ConsumerConfig, TheBrokersWaitForRecordsAsLongAsItSays) {
    auto settings = config();
    settings.fetch_wait = 300s;
    EXPECT_TRUE(validate(settings).empty());
    settings.fetch_wait = 300'001ms;

    const auto problems = validate(settings);

    ASSERT_EQ(problems.size(), 1U);
    EXPECT_EQ(problems.front().field, "fetch.wait.max.ms");
    EXPECT_EQ(problems.front().value, "300001");
}

TEST(ConsumerConfig, TheFetchQueueHoldsOneKibibyteOrMoreAndLessThanTwoGibibytes) {
    constexpr Bytes two_gibibytes = 2048 * mebibyte;
    const auto legal_of = [](Bytes bytes) {
        auto settings = config();
        settings.fetch_queue_bytes = bytes;
        const auto problems = validate(settings);
        return problems.empty() ? "accepted" : problems.front().field + " " + problems.front().legal;
    };
    EXPECT_EQ(legal_of(1024), "accepted");
    EXPECT_EQ(legal_of(two_gibibytes - 1), "accepted");
    EXPECT_EQ(legal_of(1023), "fetch_queue_bytes must be ≥ 1 KiB and < 2 GiB");
    EXPECT_EQ(legal_of(two_gibibytes), "fetch_queue_bytes must be ≥ 1 KiB and < 2 GiB");
}

} // namespace
} // namespace velostream::kafka
