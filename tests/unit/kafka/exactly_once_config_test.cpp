// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/exactly_once_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <stdexcept>

#include "velostream/kafka/exactly_once.hpp"

namespace velostream::kafka {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

ExactlyOnceConfig legal() {
    return {.transactional_id = "copier-1",
            .consumer = {.bootstrap_servers = "localhost:9", .group_id = "g", .topics = {"t"}}};
}

std::vector<std::string> problems_of(const ExactlyOnceConfig& config) {
    std::vector<std::string> messages;
    for (const auto& problem : validate(config)) messages.push_back(problem.message());
    return messages;
}

TEST(ExactlyOnceConfigTest, ANameAndWhatIsReadAreEnough) {
    EXPECT_THAT(problems_of(legal()), ElementsAre());
}

TEST(ExactlyOnceConfigTest, EveryFieldOutsideOfItsRangeIsNamedWithItsValueAndTheRange) {
    auto config = legal();
    config.transactional_id = "";
    config.commit_interval = 0ms;
    config.max_records = 0;
    config.max_bytes = 0;
    config.transaction_timeout = 999ms;
    config.producer.delivery_timeout = 500ms;

    EXPECT_THAT(problems_of(config),
                ElementsAre("transactional_id = \"\": must not be empty",
                            "commit_interval = 0 ms: must be ≥ 1 ms and < transaction_timeout = 999 ms",
                            "max_records = 0: must be ≥ 1", "max_bytes = 0: must be ≥ 1",
                            "transaction_timeout = 999 ms: must be ≥ 1000 ms"));
}

TEST(ExactlyOnceConfigTest, ATransactionLastsLongerThanItsCommitIntervalAndAsLongAsADelivery) {
    auto config = legal();
    config.transaction_timeout = 1s;
    config.commit_interval = 1s;
    config.producer.delivery_timeout = 1001ms;

    EXPECT_THAT(problems_of(config),
                ElementsAre("producer.delivery_timeout = 1001 ms: must be ≤ transaction_timeout = 1000 ms",
                            "commit_interval = 1000 ms: must be ≥ 1 ms and < transaction_timeout = 1000 ms"));
    config.commit_interval = 999ms;
    config.producer.delivery_timeout = 1s;
    EXPECT_THAT(problems_of(config), ElementsAre());
}

TEST(ExactlyOnceConfigTest, ProblemsInsideHaveTheirPath) {
    auto config = legal();
    config.consumer.group_id = "";
    config.producer.max_in_flight = 0;

    EXPECT_THAT(problems_of(config),
                ElementsAre("consumer.group_id = \"\": must not be empty", "producer.max_in_flight = 0: must be ≥ 1"));
}

TEST(ExactlyOnceConfigTest, WithoutBrokersThatIsSaidOnce) {
    auto config = legal();
    config.consumer.bootstrap_servers = "";

    EXPECT_THAT(problems_of(config),
                ElementsAre("consumer.bootstrap_servers = \"\": must name at least one host:port"));
}

TEST(ExactlyOnceConfigTest, WhatWouldBreakThePromiseIsRefused) {
    auto config = legal();
    config.consumer.properties = {{"isolation.level", "read_uncommitted"},
                                  {"partition.assignment.strategy", "cooperative-sticky"}};
    config.producer.properties = {{"transaction.timeout.ms", "1000"}, {"transactional.id", "other"}};

    EXPECT_THAT(problems_of(config),
                ElementsAre("consumer.properties.isolation.level = read_uncommitted: must be read_committed",
                            "consumer.properties.partition.assignment.strategy = cooperative-sticky: must be range or "
                            "roundrobin: partitions are given back all at once",
                            "producer.properties.transaction.timeout.ms = 1000: is set by this library",
                            "producer.properties.transactional.id = other: is set by this library"));
    config = legal();
    config.consumer.properties = {{"isolation.level", "read_committed"}, {"partition.assignment.strategy", "range"}};
    EXPECT_THAT(problems_of(config), ElementsAre());
}

TEST(ExactlyOnceConfigTest, AProcessorIsNotMadeOfProblems) {
    boost::asio::io_context io{1};
    auto config = legal();
    config.transactional_id = "";
    config.max_records = 0;

    try {
        const ExactlyOnceProcessor processor{io.get_executor(), config};
        FAIL();
    } catch (const std::invalid_argument& refused) {
        EXPECT_THAT(refused.what(), ::testing::HasSubstr("transactional_id"));
        EXPECT_THAT(refused.what(), ::testing::HasSubstr("max_records"));
    }
}

} // namespace
} // namespace velostream::kafka
