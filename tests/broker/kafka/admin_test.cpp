// SPDX-License-Identifier: Apache-2.0
// The mock cluster has no admin interface.
#include "broker_test.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"

namespace velostream::kafka {
namespace {

class AdminOnBrokerTest : public BrokerTest {
  protected:
    asio::awaitable<Result<void>> create(std::vector<NewTopic> topics) const {
        const Admin admin{{.bootstrap_servers = address}};
        auto created = co_await admin.create_topics(topics);
        for (const auto& topic : topics)
            if (created) co_await until_known(admin, topic.name);
        co_return created;
    }
    asio::awaitable<Result<void>> remove(std::vector<std::string> names) const {
        const Admin admin{{.bootstrap_servers = address}};
        co_return co_await admin.delete_topics(std::move(names));
    }

    asio::awaitable<Result<Delivery>> send_to(std::string topic, std::int32_t partition) {
        Producer producer{io.get_executor(), {.bootstrap_servers = address}};
        Record record{std::move(topic), std::nullopt, "value"};
        record.partition = partition;
        co_return co_await producer.send(record);
    }
};

TEST_F(AdminOnBrokerTest, ATopicThatWasCreatedHasItsPartitionsAndTakesRecords) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("topic"), 3);

        const auto sent = co_await send_to(unique("topic"), 2);

        EXPECT_TRUE(sent) << sent.error();
        const auto refused = co_await send_to(unique("topic"), 3);
        EXPECT_FALSE(refused);
    });
}

TEST_F(AdminOnBrokerTest, ATopicThatExistsIsLeftAsItIsAndTheOthersAreCreatedAllTheSame) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("old"), 1);
        std::vector<NewTopic> topics;
        topics.emplace_back(unique("old"), 2);
        topics.emplace_back(unique("new"), 2);

        const auto created = co_await create(topics);

        EXPECT_EQ(created.error(), KafkaErrc::topic_already_exists) << created.error();
        EXPECT_NE(created.error().detail().find(unique("old")), std::string_view::npos) << created.error();
        const auto sent_to_new = co_await send_to(unique("new"), 1);
        EXPECT_TRUE(sent_to_new) << sent_to_new.error();
        const auto sent_to_old = co_await send_to(unique("old"), 1);
        EXPECT_FALSE(sent_to_old);
    });
}

TEST_F(AdminOnBrokerTest, AWorseFailureThanATopicThatExistsIsTheOneThatIsReported) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("old"), 1);
        std::vector<NewTopic> topics;
        topics.emplace_back(unique("old"), 1);
        topics.emplace_back("no/such/name", 1);

        const auto created = co_await create(topics);

        EXPECT_EQ(created.error(), KafkaErrc{RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION}) << created.error();
        EXPECT_NE(created.error().detail().find("no/such/name"), std::string_view::npos) << created.error();
        EXPECT_NE(created.error().detail().find(unique("old")), std::string_view::npos) << created.error();
    });
}

TEST_F(AdminOnBrokerTest, ATopicThatDoesNotExistIsSaidSoAndTheOthersAreDeletedAllTheSame) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("old"), 1);
        std::vector<std::string> names{unique("none"), unique("old")};

        const auto deleted = co_await remove(names);

        EXPECT_EQ(deleted.error(), KafkaErrc::unknown_topic_or_partition) << deleted.error();
        EXPECT_NE(deleted.error().detail().find(unique("none")), std::string_view::npos) << deleted.error();
        std::vector<NewTopic> again;
        again.emplace_back(unique("old"), 1);
        const auto created = co_await create(again);
        EXPECT_TRUE(created) << created.error();
    });
}

TEST_F(AdminOnBrokerTest, ATopicIsCreatedWithItsSettings) {
    run(io, [&]() -> asio::awaitable<void> {
        std::vector<NewTopic> topics;
        topics.emplace_back(unique("topic"), 1);
        topics.back().config = {{"max.message.bytes", "1000"}};
        const auto created = co_await create(topics);
        EXPECT_TRUE(created) << created.error();
        Producer producer{io.get_executor(), {.bootstrap_servers = address}};
        const Record record{unique("topic"), std::nullopt, std::string(2'000, 'x')};

        const auto sent = co_await producer.send(record);

        EXPECT_EQ(sent.error(), KafkaErrc{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE}) << sent.error();
    });
}

/// Takes down in what the topic of a queue differs.
struct TopicObserver : Observer {
    void on_dead_letter_topic_differs(const DeadLetterTopicDiffers& event) noexcept override {
        seen.push_back(std::string{event.setting} + " " + std::string{event.actual} + " not " +
                       std::string{event.wanted});
    }
    std::vector<std::string> seen;
};

TEST_F(AdminOnBrokerTest, ADeadLetterTopicIsMadeAsItsConfigSaysAndThenDiffersInNothing) {
    run(io, [&]() -> asio::awaitable<void> {
        const auto observer = std::make_shared<TopicObserver>();
        const Admin admin{{.bootstrap_servers = address}};
        const DeadLetterQueueConfig config{.topic = unique("dead"), .retention_period = std::chrono::hours{5}};

        for (int time = 0; time < 2; ++time) {
            const auto ready = co_await ensure_dead_letter_topic(admin, config, observer, 3);
            EXPECT_TRUE(ready) << ready.error();
        }

        EXPECT_EQ(observer->seen, std::vector<std::string>{});
        auto topic = new_dead_letter_topic(config, 3);
        const auto same = co_await admin.differences(topic);
        EXPECT_TRUE(same && same->empty());
        EXPECT_EQ(topic.config.at("retention.ms"), "18000000");
    });
}

TEST_F(AdminOnBrokerTest, ADeadLetterTopicThatExistsIsLeftAsItIsAndEveryDifferenceIsTold) {
    run(io, [&]() -> asio::awaitable<void> {
        const auto observer = std::make_shared<TopicObserver>();
        const Admin admin{{.bootstrap_servers = address}};
        std::vector<NewTopic> topics;
        topics.emplace_back(unique("dead"), 2);
        topics.back().config = {{"cleanup.policy", "compact"}, {"retention.ms", "1000"}};
        const auto created = co_await create(topics);
        EXPECT_TRUE(created) << created.error();
        const DeadLetterQueueConfig config{.topic = unique("dead"), .retention_period = std::chrono::hours{5}};

        for (int time = 0; time < 2; ++time) {
            observer->seen.clear();
            const auto ready = co_await ensure_dead_letter_topic(admin, config, observer, 3);
            EXPECT_TRUE(ready) << ready.error();
            EXPECT_EQ(observer->seen, (std::vector<std::string>{
                                          "cleanup.policy compact not delete", "max.message.bytes 1048588 not 1114124",
                                          "retention.ms 1000 not 18000000", "partitions 2 not 3"}));
        }
    });
}

TEST_F(AdminOnBrokerTest, ATopicThatIsNotThereHasNothingToCompare) {
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = address}};
        const NewTopic topic{unique("none")};

        const auto found = co_await admin.differences(topic);

        EXPECT_EQ(found.error(), KafkaErrc::unknown_topic_or_partition) << found.error();
    });
}

TEST_F(AdminOnBrokerTest, ATopicThatIsNotThereIsNotMadeByAskingForIt) {
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = address}};

        for (int time = 0; time < 2; ++time) {
            const auto held = co_await admin.offsets(unique("none"));
            const auto count = co_await admin.partitions(unique("none"));
            EXPECT_EQ(held.error(), KafkaErrc::unknown_topic_or_partition) << held.error();
            EXPECT_EQ(count.error(), KafkaErrc::unknown_topic_or_partition) << count.error();
        }

        co_await create_topic(unique("none"), 2);
        const auto count = co_await admin.partitions(unique("none"));
        EXPECT_EQ(count.value(), 2);
    });
}

class DeletedRecordsOnBrokerTest : public AdminOnBrokerTest {
  protected:
    /// A topic of two partitions with five records in the first and three in the second.
    asio::awaitable<void> fill() {
        co_await create_topic(unique("topic"), 2);
        auto records = numbered_records(unique("topic"), 0, 8, 1);
        for (std::size_t at = 5; at < records.size(); ++at) records[at].partition = 1;
        co_await write_all(io.get_executor(), address, records);
    }
    asio::awaitable<Result<void>> delete_before(std::vector<PartitionOffset> places) const {
        const Admin admin{{.bootstrap_servers = address}};
        co_return co_await admin.delete_records(unique("topic"), std::move(places));
    }
    /// The first offsets that are still there.
    asio::awaitable<std::string> firsts() const {
        const Admin admin{{.bootstrap_servers = address}};
        const auto held = co_await admin.offsets(unique("topic"));
        EXPECT_TRUE(held) << held.error();
        std::string text;
        for (const auto& range : held.value()) text += std::to_string(range.first) + " ";
        co_return text;
    }
};

TEST_F(DeletedRecordsOnBrokerTest, WhatLiesBeforeAPlaceIsGoneAndTheRestIsThere) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await fill();
        std::vector<PartitionOffset> places{{0, 2}, {1, 3}};

        const auto deleted = co_await delete_before(places);

        EXPECT_TRUE(deleted) << deleted.error();
        const auto left = co_await firsts();
        EXPECT_EQ(left, "2 3 ");
        const auto log = read_log(address, unique("topic"), 0);
        EXPECT_EQ(log.size(), 3U);
        EXPECT_EQ(log.front().record.value, "2");
    });
}

TEST_F(DeletedRecordsOnBrokerTest, APlaceBeforeTheOldestRecordAndNoPlaceDeleteNothing) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await fill();
        std::vector<PartitionOffset> places{{0, 2}}, earlier{{0, 1}}, none;
        const auto first = co_await delete_before(places);
        EXPECT_TRUE(first) << first.error();

        const auto again = co_await delete_before(earlier);
        const auto nothing = co_await delete_before(none);

        EXPECT_TRUE(again) << again.error();
        EXPECT_TRUE(nothing) << nothing.error();
        const auto left = co_await firsts();
        EXPECT_EQ(left, "2 0 ");
    });
}

TEST_F(DeletedRecordsOnBrokerTest, APlaceBehindTheNewestRecordIsRefusedAndTheOthersAreDeletedAllTheSame) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await fill();
        std::vector<PartitionOffset> places{{0, 6}, {1, 1}};

        const auto deleted = co_await delete_before(places);

        EXPECT_EQ(deleted.error(), KafkaErrc{RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE}) << deleted.error();
        EXPECT_NE(deleted.error().detail().find(unique("topic") + " partition 0"), std::string_view::npos)
            << deleted.error();
        const auto left = co_await firsts();
        EXPECT_EQ(left, "0 1 ");
    });
}

} // namespace
} // namespace velostream::kafka
