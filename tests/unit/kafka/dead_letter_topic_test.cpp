// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/dead_letter_topic.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>

namespace velostream::kafka {
namespace {

using namespace std::chrono_literals;
using Settings = std::map<std::string, std::string>;

TEST(NewDeadLetterTopic, KeepsDeadLettersForTheRetentionPeriodAndCompactsNone) {
    const auto topic = new_dead_letter_topic({.topic = "bad-orders", .retention_period = 24h * 7}, 8);

    EXPECT_EQ(topic.name, "bad-orders");
    EXPECT_EQ(topic.partitions, 8);
    EXPECT_EQ(topic.replication, -1);
    EXPECT_EQ(topic.config, (Settings{{"cleanup.policy", "delete"},
                                      {"message.timestamp.type", "CreateTime"},
                                      {"retention.ms", "604800000"}}));
}

TEST(NewDeadLetterTopic, HasAsManyPartitionsAsTheBrokersLikeUnlessItIsTold) {
    EXPECT_EQ(new_dead_letter_topic(DeadLetterQueueConfig{}).partitions, -1);
}

TEST(NewDeadLetterTopic, ARetentionOfLessThanAMillisecondIsNotNone) {
    EXPECT_EQ(new_dead_letter_topic({.retention_period = 1ns}).config.at("retention.ms"), "1");
}

} // namespace
} // namespace velostream::kafka
