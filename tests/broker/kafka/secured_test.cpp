// SPDX-License-Identifier: Apache-2.0
// Passwords, certificates and permissions: what only a real broker checks.
#include <librdkafka/rdkafka.h>

#include <array>
#include <fstream>

#include "broker_test.hpp"

namespace velostream::kafka {
namespace {

class SecuredBrokerTest : public BrokerTest {
  protected:
    void SetUp() override {
        BrokerTest::SetUp();
        if (IsSkipped()) return;
        std::ifstream{folder() / "sasl_address"} >> sasl;
        std::ifstream{folder() / "tls_address"} >> tls;
        ASSERT_FALSE(sasl.empty() || tls.empty()) << "the broker was not started with --secured";
    }

    static Properties by_password(const std::string& mechanism, const std::string& user, const std::string& password) {
        return {{"security.protocol", "SASL_PLAINTEXT"},
                {"sasl.mechanism", mechanism},
                {"sasl.username", user},
                {"sasl.password", password}};
    }
    static Properties alice() { return by_password("PLAIN", "alice", "alice-secret"); }

    /// Lets `user` do `operation` with this one topic or group.
    void allow(const char* user, rd_kafka_ResourceType_t kind, const std::string& name,
               rd_kafka_AclOperation_t operation) const {
        std::array<char, 256> problem{};
        auto* const conf = rd_kafka_conf_new();
        rd_kafka_conf_set(conf, "bootstrap.servers", address.c_str(), problem.data(), problem.size());
        auto* const client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem.data(), problem.size());
        auto* const queue = rd_kafka_queue_new(client);
        auto* acl = rd_kafka_AclBinding_new(kind, name.c_str(), RD_KAFKA_RESOURCE_PATTERN_LITERAL, user, "*", operation,
                                            RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, problem.data(), problem.size());
        rd_kafka_CreateAcls(client, &acl, 1, nullptr, queue);
        auto* const event = rd_kafka_queue_poll(queue, 30'000);
        EXPECT_TRUE(event != nullptr && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR) << problem.data();
        rd_kafka_event_destroy(event);
        rd_kafka_AclBinding_destroy(acl);
        rd_kafka_queue_destroy(queue);
        rd_kafka_destroy(client);
    }

    asio::awaitable<Result<Delivery>> send(std::string servers, Properties properties, std::string topic,
                                           Duration patience = 20s) {
        Producer producer{io.get_executor(),
                          {.bootstrap_servers = std::move(servers),
                           .delivery_timeout = patience,
                           .properties = std::move(properties)}};
        const Record record{std::move(topic), "key", "value"};
        auto sent = co_await producer.send(record);
        co_await producer.close(1s);
        co_return sent;
    }
    /// What was allowed a moment ago: a broker may not have heard of it yet.
    asio::awaitable<Result<Delivery>> send_when_allowed(std::string servers, Properties properties, std::string topic) {
        for (const auto until = now() + 20s;;) {
            auto sending = send(servers, properties, topic);
            auto sent = co_await std::move(sending);
            if (sent || sent.error() != ErrorType::authorization || now() > until) co_return sent;
            co_await pause_for(50ms);
        }
    }

    std::string sasl, tls;
};

TEST_F(SecuredBrokerTest, WhoMayWriteWritesAndNobodyElse) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("allowed"), 1);
        co_await create_topic(unique("other"), 1);
        allow("User:alice", RD_KAFKA_RESOURCE_TOPIC, unique("allowed"), RD_KAFKA_ACL_OPERATION_WRITE);

        const auto properties = alice();
        const auto allowed = unique("allowed"), other = unique("other");
        const auto sent = co_await send_when_allowed(sasl, properties, allowed);
        EXPECT_TRUE(sent) << sent.error();

        const auto start = now();
        const auto refused = co_await send(sasl, properties, other, 60s);
        EXPECT_EQ(refused.error(), ErrorType::authorization) << refused.error();
        EXPECT_LT(now() - start, 30s) << "waiting would not help";
        EXPECT_NE(refused.error().message().find(unique("other")), std::string::npos) << refused.error();
        EXPECT_FALSE(refused.error().blames_record());
    });
}

TEST_F(SecuredBrokerTest, AWrongPasswordIsSaidToBeOneAndNotShown) {
    run(io, [&]() -> asio::awaitable<void> {
        for (const auto* mechanism : {"PLAIN", "SCRAM-SHA-256"}) {
            const auto user = std::string{mechanism} == "PLAIN" ? "alice" : "bob";
            const auto properties = by_password(mechanism, user, "not-the-secret");
            const auto topic = unique("topic");
            const auto refused = co_await send(sasl, properties, topic, 5s);
            EXPECT_EQ(refused.error(), ErrorType::authentication) << mechanism << ": " << refused.error();
            EXPECT_EQ(refused.error().message().find("not-the-secret"), std::string::npos) << refused.error();
        }
    });
}

TEST_F(SecuredBrokerTest, AUserWithAHashedPasswordMayWriteToo) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("topic"), 1);
        allow("User:bob", RD_KAFKA_RESOURCE_TOPIC, unique("topic"), RD_KAFKA_ACL_OPERATION_WRITE);

        const auto properties = by_password("SCRAM-SHA-256", "bob", "bob-secret");
        const auto topic = unique("topic");
        const auto sent = co_await send_when_allowed(sasl, properties, topic);

        EXPECT_TRUE(sent) << sent.error();
    });
}

TEST_F(SecuredBrokerTest, ACertificateThatIsTrustedIsTakenAndAnotherOneIsSaidToBeTheCause) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("topic"), 1);

        const auto topic = unique("topic");
        Properties properties{{"security.protocol", "SSL"}};
        const auto refused = co_await send(tls, properties, topic, 5s);
        EXPECT_EQ(refused.error(), ErrorType::authentication) << refused.error();
        EXPECT_NE(refused.error().message().find("certificate"), std::string::npos) << refused.error();

        properties["ssl.ca.location"] = (folder() / "ca.pem").string();
        const auto sent = co_await send(tls, properties, topic);
        EXPECT_TRUE(sent) << sent.error();
    });
}

TEST_F(SecuredBrokerTest, AClientThatSpeaksPlainlyToAListenerWithTlsLearnsThatItCannotConnect) {
    run(io, [&]() -> asio::awaitable<void> {
        const Properties none;
        const auto topic = unique("topic");
        const auto refused = co_await send(tls, none, topic, 3s);

        EXPECT_FALSE(refused);
        EXPECT_NE(refused.error().message().find("127.0.0.1"), std::string::npos) << refused.error();
    });
}

TEST_F(SecuredBrokerTest, AConsumerWithoutPermissionEndsAtOnceAndSaysWhy) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("topic"), 1);
        allow("User:alice", RD_KAFKA_RESOURCE_TOPIC, unique("topic"), RD_KAFKA_ACL_OPERATION_READ);
        Consumer consumer{io.get_executor(),
                          {.bootstrap_servers = sasl,
                           .group_id = unique("group"),
                           .topics = {unique("topic")},
                           .properties = alice()}};

        const auto without_group = co_await consumer.next_batch();

        EXPECT_EQ(without_group.error(), ErrorType::authorization) << without_group.error();
        co_await consumer.close(1s);
    });
}

TEST_F(SecuredBrokerTest, AConsumerWithPermissionReads) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("topic"), 1);
        allow("User:alice", RD_KAFKA_RESOURCE_TOPIC, unique("topic"), RD_KAFKA_ACL_OPERATION_ALL);
        allow("User:alice", RD_KAFKA_RESOURCE_GROUP, unique("group"), RD_KAFKA_ACL_OPERATION_READ);
        const auto properties = alice();
        const auto topic = unique("topic");
        const auto sent = co_await send_when_allowed(sasl, properties, topic);
        EXPECT_TRUE(sent) << sent.error();
        Consumer consumer{io.get_executor(),
                          {.bootstrap_servers = sasl,
                           .group_id = unique("group"),
                           .topics = {unique("topic")},
                           .properties = alice()}};

        const auto read = co_await consumer.next_batch();

        EXPECT_TRUE(read) << read.error();
        co_await consumer.close(5s);
    });
}

TEST_F(SecuredBrokerTest, ATopicIsNotCreatedByOneWhoMayNot) {
    run(io, [&]() -> asio::awaitable<void> {
        const Admin admin{{.bootstrap_servers = sasl, .properties = alice()}};
        std::vector<NewTopic> topics;
        topics.emplace_back(unique("topic"), 1);

        const auto created = co_await admin.create_topics(topics);

        EXPECT_EQ(created.error(), ErrorType::authorization) << created.error();
    });
}

TEST_F(SecuredBrokerTest, SettingsThatOneMayNotSeeAreNotCompared) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await create_topic(unique("topic"), 1);
        const Admin admin{{.bootstrap_servers = sasl, .properties = alice()}};
        const NewTopic topic{unique("topic")};

        const auto found = co_await admin.differences(topic);

        EXPECT_EQ(found.error(), ErrorType::authorization) << found.error();
    });
}

} // namespace
} // namespace velostream::kafka
