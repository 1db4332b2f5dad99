// SPDX-License-Identifier: Apache-2.0
// How large the queues of clients become.
#include "kafka/queue_bytes.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "velostream/kafka/consumer_pool.hpp"
#include "velostream/kafka/exactly_once.hpp"
#include "velostream/kafka/producer_pool.hpp"

namespace velostream::kafka {
namespace {

const ProducerConfig producing{.bootstrap_servers = "127.0.0.1:1"};
const ConsumerConfig reading{.bootstrap_servers = "127.0.0.1:1", .group_id = "g", .topics = {"t"}};
const auto open = Defaulted<Bytes>::by_default(64 * mebibyte);

Bytes bytes_with_limit(Bytes limit) {
    return queue_bytes(open, MemoryAccount{"process", limit});
}

TEST(QueueBytes, WithoutABudgetTheyAreTheDefault) {
    EXPECT_EQ(queue_bytes(open, MemoryAccount{}), 64 * mebibyte);
}

TEST(QueueBytes, WithABudgetTheyAreASixteenthOfItWithinBounds) {
    EXPECT_EQ(bytes_with_limit(160 * mebibyte), 10 * mebibyte);
    EXPECT_EQ(bytes_with_limit(1024 * mebibyte), 64 * mebibyte);
    EXPECT_EQ(bytes_with_limit(4096 * mebibyte), 64 * mebibyte) << "more serves nobody";
    EXPECT_EQ(bytes_with_limit(16 * mebibyte), 1 * mebibyte);
    EXPECT_EQ(bytes_with_limit(1), 1 * mebibyte) << "the floor";
}

TEST(QueueBytes, TheLowestLimitOnTheWayUpIsTheBudget) {
    const MemoryAccount process{"process", 160 * mebibyte};
    const auto query = process.child("query"), tight = process.child("tight", 32 * mebibyte);

    EXPECT_EQ(queue_bytes(open, query), 10 * mebibyte);
    EXPECT_EQ(queue_bytes(open, tight), 2 * mebibyte);
}

TEST(QueueBytes, WhatWasChosenHolds) {
    const MemoryAccount small{"process", 16 * mebibyte};

    EXPECT_EQ(queue_bytes(1000, small), 1000U);
    EXPECT_EQ(queue_bytes(500 * mebibyte, small), 500 * mebibyte);
    EXPECT_EQ(queue_bytes(64 * mebibyte, small), 64 * mebibyte) << "also where it equals the default";
}

class ClientQueues : public testing::Test {
  protected:
    boost::asio::io_context io{1};
    MemoryAccount budget{"process", 160 * mebibyte};
};

TEST_F(ClientQueues, OfAConsumerFollowFromItsBudgetAndAreChargedToNobody) {
    const Consumer bounded{io.get_executor(), reading, budget}, unbounded{io.get_executor(), reading};

    EXPECT_EQ(bounded.get_stats().queue_limit, 10 * mebibyte);
    EXPECT_EQ(unbounded.get_stats().queue_limit, 64 * mebibyte);
    EXPECT_EQ(budget.used(), 0U);
}

TEST_F(ClientQueues, OfAConsumerAreShownAsTheClientHasThem) {
    auto config = reading;
    config.properties = {{"queued.max.messages.kbytes", "3000"}};

    const Consumer consumer{io.get_executor(), config, budget};

    EXPECT_EQ(consumer.get_stats().queue_limit, 3000U * 1024);
}

TEST_F(ClientQueues, OfAConsumerPoolAreSharedByItsMembers) {
    auto chosen = reading;
    chosen.fetch_queue_bytes = 8 * mebibyte;
    ConsumerPool by_budget{io.get_executor(), {.consumer_pool_size = 2}, reading, budget};
    ConsumerPool by_choice{io.get_executor(), {.consumer_pool_size = 4}, chosen, budget};

    EXPECT_EQ(by_budget[0].get_stats().queue_limit, 5 * mebibyte);
    EXPECT_EQ(by_budget.get_stats().queue_limit, 10 * mebibyte);
    EXPECT_EQ(by_choice[3].get_stats().queue_limit, 2 * mebibyte);
}

TEST_F(ClientQueues, OfAProducerFollowFromItsAccount) {
    const Producer bounded{io.get_executor(), producing, budget}, unbounded{io.get_executor(), producing};

    EXPECT_EQ(bounded.get_stats().in_flight_limit, 10 * mebibyte);
    EXPECT_EQ(unbounded.get_stats().in_flight_limit, 64 * mebibyte);
}

TEST_F(ClientQueues, OfAProducerPoolAreSharedByItsProducers) {
    ProducerPool producers{io.get_executor(), {.producer_pool_size = 2}, producing, budget};

    EXPECT_EQ(producers.producer_for("k").get_stats().in_flight_limit, 5 * mebibyte);
    EXPECT_EQ(producers.get_stats().in_flight_limit, 10 * mebibyte);
}

TEST_F(ClientQueues, OfAnExactlyOnceProcessorFollowFromItsAccountToo) {
    const ExactlyOnceConfig config{.transactional_id = "t", .consumer = reading};
    const ExactlyOnceProcessor processor{io.get_executor(), config, budget};

    EXPECT_EQ(processor.get_stats().reading.queue_limit, 10 * mebibyte);
}

} // namespace
} // namespace velostream::kafka
