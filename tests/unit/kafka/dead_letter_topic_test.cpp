// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/dead_letter_topic.hpp"

#include <gtest/gtest.h>

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <map>
#include <random>
#include <string>

#include "velostream/core/dead_letter_partition.hpp"

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
                                      {"max.message.bytes", "1114124"},
                                      {"message.timestamp.type", "CreateTime"},
                                      {"retention.ms", "604800000"}}));
}

TEST(NewDeadLetterTopic, TakesTheLargestLetterThatTheQueueMayMakeAndNeverLessThanALegalRecordWithHeaders) {
    const auto limit = [](Bytes max_record_size) {
        return new_dead_letter_topic({.max_record_size = max_record_size}).config.at("max.message.bytes");
    };
    EXPECT_EQ(limit(1'000), "1114124");
    EXPECT_EQ(limit(1'114'125), "1114125");
    EXPECT_EQ(limit(1'000'000'000), "1000000000");
}

TEST(NewDeadLetterTopic, HasAsManyPartitionsAsTheBrokersLikeUnlessItIsTold) {
    EXPECT_EQ(new_dead_letter_topic(DeadLetterQueueConfig{}).partitions, -1);
}

TEST(NewDeadLetterTopic, ARetentionOfLessThanAMillisecondIsNotNone) {
    EXPECT_EQ(new_dead_letter_topic({.retention_period = 1ns}).config.at("retention.ms"), "1");
}

TEST(DeadLetterPartitioning, ByKeyIsThatOfLibrdkafkasPartitionerForJava) {
    std::mt19937 random{5};
    for (int round = 0; round < 2'000; ++round) {
        std::string key(random() % 40, '\0');
        for (auto& byte : key) byte = static_cast<char>(random());
        const auto partitions = static_cast<std::int32_t>(1 + random() % 50);

        EXPECT_EQ(dead_letter_partition(velostream::DeadLetterPartitioning::key, partitions, 0, key),
                  rd_kafka_msg_partitioner_murmur2(nullptr, key.data(), key.size(), partitions, nullptr, nullptr));
    }
}

} // namespace
} // namespace velostream::kafka
