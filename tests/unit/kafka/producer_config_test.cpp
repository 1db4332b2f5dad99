// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/producer_config.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <stdexcept>
#include <string>

#include "velostream/kafka/producer.hpp"

namespace velostream::kafka::producer_config_test {
namespace {

using namespace std::chrono_literals;

TEST(KafkaProperties, SecretsAreMasked) {
    const Properties properties{{"sasl.password", "hunter2"}, {"sasl.username", "alice"}, {"ssl.key.pem", "hunter2"}};

    EXPECT_EQ(masked(properties), "sasl.password=***, sasl.username=alice, ssl.key.pem=***");
}

TEST(KafkaProperties, TheValueOfANameThatTheClientDoesNotHaveIsMasked) {
    const Properties properties{{"SASL.PASSWORD", "hunter2"},
                                {"acks", "all"},
                                {"metadata.broker.list", "b:1"},
                                {"sasl.pasword", "hunter2"},
                                {"ssl.key.passwd hunter2", "2"}};

    EXPECT_EQ(masked(properties),
              "SASL.PASSWORD=***, acks=all, metadata.broker.list=b:1, sasl.pasword=***, ssl.key.passwd***=***");
}

TEST(KafkaProperties, EveryPropertyThatHoldsASecretIsKnown) {
    for (const auto* name :
         {"sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem", "ssl.certificate.pem",
          "ssl.ca.pem", "sasl.oauthbearer.config", "sasl.oauthbearer.client.secret"})
        EXPECT_TRUE(is_secret(name)) << name;
    EXPECT_FALSE(is_secret("sasl.username"));
    EXPECT_FALSE(is_secret("security.protocol"));
}

std::string refusal_of(const ProducerConfig& config) {
    boost::asio::io_context io;
    try {
        const Producer producer{io.get_executor(), config};
    } catch (const std::invalid_argument& problem) {
        return problem.what();
    }
    return "accepted";
}

TEST(ProducerConfig, ARefusalListsEveryProblemAndQuotesNoSecret) {
    const auto text = refusal_of({.bootstrap_servers = "localhost:9092",
                                  .properties = {{"no.such.property", "1"},
                                                 {"no.such.password", "hunter2"},
                                                 {"acks", "many"},
                                                 {"delivery.report.only.error", "true"}}});

    for (const auto* name : {"no.such.property", "no.such.password", "acks", "delivery.report.only.error"})
        EXPECT_NE(text.find(name), std::string::npos) << text;
    EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
}

TEST(ProducerConfig, ARefusalQuotesNoValueWhoseNameIsMistyped) {
    for (const auto* name :
         {"sasl.pasword", "SASL.PASSWORD", "ssl.key.passwd", "sasl.password ", "sasl.pasword hunter2"}) {
        const auto text = refusal_of({.bootstrap_servers = "localhost:9092", .properties = {{name, "hunter2"}}});

        EXPECT_NE(text.find(" = ***: is no property of the client library"), std::string::npos) << text;
        EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
    }
    EXPECT_NE(refusal_of({.bootstrap_servers = "localhost:9092", .properties = {{"acks", "many"}}}).find("acks = many"),
              std::string::npos);
}

TEST(ProducerConfig, FieldsOutsideTheirRangeAreProblems) {
    EXPECT_TRUE(validate(ProducerConfig{.bootstrap_servers = "b:1"}).empty());

    const auto field_of = [](ProducerConfig config) {
        const auto problems = validate(config);
        return problems.size() == 1 ? problems.front().field : std::to_string(problems.size()) + " problems";
    };
    EXPECT_EQ(field_of({}), "bootstrap_servers");
    EXPECT_EQ(field_of({.bootstrap_servers = "b:1", .delivery_timeout = 9ms}), "delivery_timeout");
    EXPECT_EQ(field_of({.bootstrap_servers = "b:1", .linger = -1ms}), "linger");
    EXPECT_EQ(field_of({.bootstrap_servers = "b:1", .delivery_timeout = 1h, .linger = 900s}), "0 problems");
    EXPECT_EQ(field_of({.bootstrap_servers = "b:1", .delivery_timeout = 1h, .linger = 900'001ms}), "linger");
    EXPECT_EQ(field_of({.bootstrap_servers = "b:1", .max_in_flight = 0}), "max_in_flight");
    EXPECT_EQ(field_of({.bootstrap_servers = "b:1", .max_in_flight_bytes = 0}), "max_in_flight_bytes");
}

TEST(ProducerConfig, ContradictionsThatOnlyTheClientSeesAreRefusedToo) {
    EXPECT_NE(refusal_of({.bootstrap_servers = "b:1", .properties = {{"acks", "1"}}}).find("acks"), std::string::npos);
}

TEST(ProducerConfig, WhatThisLibraryReliesOnCannotBeSet) {
    for (const auto* name : {"delivery.report.only.error", "enabled_events", "log.queue", "transactional.id"}) {
        const auto problems = validate(ProducerConfig{.bootstrap_servers = "b:1", .properties = {{name, "0"}}});

        ASSERT_EQ(problems.size(), 1U) << name;
        EXPECT_EQ(problems.front().field, std::string{"properties."} + name);
        EXPECT_EQ(problems.front().legal, "is set by this library");
    }
}

// The client library takes no linger as long as its time for a record, which cannot be read from it.
TEST(ProducerConfig, TheClientGivesARecordUpALittleBeforeTheDeliveryTimeout) {
    const auto refusal = [](Duration delivery_timeout, Duration linger) {
        return refusal_of({.bootstrap_servers = "b:1", .delivery_timeout = delivery_timeout, .linger = linger});
    };
    EXPECT_NE(refusal(1s, 750ms).find("message.timeout.ms"), std::string::npos) << refusal(1s, 750ms);
    EXPECT_EQ(refusal(1s, 749ms), "accepted");
    EXPECT_NE(refusal(60s, 58'800ms).find("message.timeout.ms"), std::string::npos) << refusal(60s, 58'800ms);
    EXPECT_EQ(refusal(60s, 58'799ms), "accepted");
}

} // namespace
} // namespace velostream::kafka::producer_config_test
