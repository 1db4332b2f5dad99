// SPDX-License-Identifier: Apache-2.0
// Topics that the brokers do not have.
#include "failing_brokers.hpp"
#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

/// Brokers that say of the topic `none` that there is no such topic, until it is made.
class BrokersWithoutTopic : public FailingBrokers {
  public:
    BrokersWithoutTopic() : FailingBrokers(1) {
        rd_kafka_mock_topic_create(cluster(), "none", 1, 1);
        answer(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    }
    void make_topic() { answer(RD_KAFKA_RESP_ERR_NO_ERROR); }

  private:
    void answer(rd_kafka_resp_err_t code) { rd_kafka_mock_topic_set_error(cluster(), "none", code); }
};

class UnknownTopicTest : public ::testing::Test {
  protected:
    asio::io_context io;
    BrokersWithoutTopic brokers;
    const Record record{"none", "k", "v"};
};

TEST_F(UnknownTopicTest, IsTheCauseOfASendThatIsNotWrittenInTime) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(),
                          {.bootstrap_servers = brokers.bootstrap_servers(), .delivery_timeout = 6s}};

        const auto sent = co_await producer.send(record);

        EXPECT_EQ(sent.error(), KafkaErrc::unknown_topic_or_partition) << sent.error();
        EXPECT_NE(sent.error().detail().find("none"), std::string_view::npos) << sent.error();
        EXPECT_FALSE(sent.error().blames_record());
    });
}

TEST_F(UnknownTopicTest, IsNoRecordsFaultWhileItMayHaveBeenMadeJustNow) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(),
                          {.bootstrap_servers = brokers.bootstrap_servers(), .delivery_timeout = 6s}};
        EXPECT_FALSE(co_await producer.send(record));

        const auto again = co_await producer.send(record);
        EXPECT_EQ(again.error(), KafkaErrc::unknown_topic_or_partition) << again.error();
        EXPECT_EQ(again.error(), ErrorType::service_unavailable);

        brokers.make_topic();
        Result<Delivery> sent = again;
        for (const auto until = now() + 20s; !sent && now() < until;) {
            co_await pause_for(20ms);
            sent = co_await producer.send(record);
        }
        EXPECT_TRUE(sent) << sent.error();
    });
}

TEST_F(UnknownTopicTest, IsTheRecordsFaultWhenItMustHaveBecomeKnown) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(),
                          {.bootstrap_servers = brokers.bootstrap_servers(),
                           .delivery_timeout = 20s,
                           .properties = {{"topic.metadata.propagation.max.ms", "1000"}}}};
        const auto first = co_await producer.send(record);
        EXPECT_EQ(first.error(), KafkaErrc::unknown_topic_or_partition) << first.error();
        EXPECT_EQ(first.error(), ErrorType::service_unavailable);

        const auto again = co_await producer.send(record);

        EXPECT_EQ(again.error(), KafkaErrc{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC}) << again.error();
        EXPECT_EQ(again.error(), ErrorType::bad_request);
        EXPECT_TRUE(again.error().blames_record());
        EXPECT_NE(again.error().detail().find("none"), std::string_view::npos) << again.error();
    });
}

TEST_F(UnknownTopicTest, IsWrittenToWhenItIsMadeInTime) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(),
                          {.bootstrap_servers = brokers.bootstrap_servers(), .delivery_timeout = 30s}};
        std::optional<Result<Delivery>> sent;
        producer.async_send(record, [&](Result<Delivery> result) { sent = std::move(result); });
        co_await pause_for(1500ms); // it is looked for once a second
        EXPECT_FALSE(sent);

        brokers.make_topic();

        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }));
        EXPECT_TRUE(*sent) << sent->error();
    });
}

} // namespace
} // namespace velostream::kafka
