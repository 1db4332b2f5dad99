// SPDX-License-Identifier: Apache-2.0
// The mock cluster has no admin interface.
#include "broker_test.hpp"

namespace velostream::kafka {
namespace {

class AdminOnBrokerTest : public BrokerTest {
  protected:
    asio::awaitable<Result<void>> create(std::vector<NewTopic> topics) const {
        const Admin admin{{.bootstrap_servers = address}};
        co_return co_await admin.create_topics(std::move(topics));
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

} // namespace
} // namespace velostream::kafka
