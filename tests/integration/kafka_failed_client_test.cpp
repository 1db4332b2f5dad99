// SPDX-License-Identifier: Apache-2.0
// Clients that fail for good, and the producers that replace them.
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>

#include "failing_brokers.hpp"
#include "kafka_producer_fixture.hpp"
#include "support/no_more_threads.hpp"

namespace velostream::kafka {
namespace {

using FailedClientTest = ProducerTest;

TEST_F(FailedClientTest, AFatalErrorOfTheClientReplacesItAndGoesOn) {
    const auto records = numbered("t", 2000);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        EXPECT_TRUE(co_await producer.send(records[0]));
        cluster.fail_next_produce_requests({KafkaErrc{45}}); // out of order sequence number: fatal for the client
        outcomes.send(producer, records);
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
        EXPECT_EQ(producer.get_stats().reopened, 1U);
        const auto after = co_await producer.send(records[0]);
        EXPECT_TRUE(after) << after.error();
    });

    // What was written is in order, whichever client wrote it.
    std::int64_t last = -1;
    for (std::size_t i = 0; i < outcomes.results.size(); ++i) {
        if (!outcomes.results[i]) {
            EXPECT_EQ(outcomes.results[i].error(), Errc::send_outcome_unknown) << outcomes.results[i].error();
            continue;
        }
        EXPECT_GT(outcomes.results[i].value().offset, last) << i;
        last = outcomes.results[i].value().offset;
    }
}

/// Brokers that give no idempotent producer its id, which is fatal for a client.
class RefusingCluster : public FailingBrokers {
  public:
    RefusingCluster() : FailingBrokers(1) {
        constexpr std::int16_t init_producer_id = 22;
        std::vector answers(1000, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
        rd_kafka_mock_push_request_errors_array(cluster(), init_producer_id, answers.size(), answers.data());
    }
};

/// Two brokers, each of which has the partition with the number before its own. A produce request to the second one is
/// answered late, and one to the first refused in a way that is fatal for the client.
class LateAndFatalBrokers : public FailingBrokers {
  public:
    LateAndFatalBrokers() : FailingBrokers(2) {
        rd_kafka_mock_topic_create(cluster(), "t", 2, 1);
        for (const int partition : {0, 1}) rd_kafka_mock_partition_set_leader(cluster(), "t", partition, partition + 1);
        rd_kafka_mock_broker_push_request_error_rtts(cluster(), 1, produce, 1,
                                                     RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 0);
        rd_kafka_mock_broker_push_request_error_rtts(cluster(), 2, produce, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 60'000);
    }

    bool has_late_request() const {
        std::size_t left = 0;
        rd_kafka_mock_broker_error_stack_cnt(cluster(), 2, produce, &left);
        return left == 0;
    }

  private:
    static constexpr std::int16_t produce = 0;
};

TEST_F(FailedClientTest, WhatWasWithABrokerWhenItsClientFailedIsPerhapsWrittenForThatReason) {
    const LateAndFatalBrokers brokers;
    auto settings = config();
    settings.bootstrap_servers = brokers.bootstrap_servers();
    auto late = numbered("t", 1);
    late.front().partition = 1;
    const auto refused = numbered("t", 1);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), settings};
        outcomes.send(producer, late);
        EXPECT_TRUE(co_await eventually([&] { return brokers.has_late_request(); }));

        outcomes.send(producer, refused);

        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
        EXPECT_EQ(producer.get_stats().reopened, 1U);
    });

    const auto& unknown = outcomes.results.front();
    EXPECT_EQ(unknown.error(), Errc::send_outcome_unknown) << unknown.error();
    EXPECT_TRUE(unknown.error().inner() && *unknown.error().inner() == ErrorType::fatal) << unknown.error();
}

/// Brokers that refuse the first client its id as an idempotent producer, which is fatal for it, when it has a record
/// already: it gives that back, and no other client can be opened as long as there are `no_threads`.
class UnreplacedClientTest : public ProducerTest {
  protected:
    UnreplacedClientTest() {
        constexpr std::int16_t init_producer_id = 22;
        rd_kafka_mock_push_request_errors(brokers.cluster(), init_producer_id, 1,
                                          RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
        settings.bootstrap_servers = brokers.bootstrap_servers();
    }
    asio::awaitable<void> until_given_back(Producer& producer) {
        no_threads.emplace();
        outcomes.send(producer, records);
        // The client may have failed before it was given the record.
        EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().reopened == 1; }));
        EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().in_flight == 0; }));
        EXPECT_EQ(producer.get_stats().waiting, 1U);
    }

    const FailingBrokers brokers{1};
    ProducerConfig settings = config();
    const std::vector<Record> records = numbered("t", 1);
    Outcomes outcomes;
    std::optional<NoMoreThreads> no_threads;
};

TEST_F(UnreplacedClientTest, ARecordGivenBackIsWrittenWhenThereIsAnotherClientAndAFlushWaitsForIt) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), settings};
        bool is_flushed = false;
        co_await until_given_back(producer);
        producer.async_flush(asio::bind_executor(io, [&](const boost::system::error_code&) { is_flushed = true; }));
        co_await eventually([&] { return producer.get_stats().last_problem.empty(); }, 600ms); // another try fails
        EXPECT_FALSE(is_flushed);
        EXPECT_FALSE(outcomes.are_complete());

        no_threads.reset();

        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete() && is_flushed; }));
    });

    EXPECT_EQ(outcomes.failures(), 0U);
}

TEST_F(UnreplacedClientTest, ACloseWaitsForARecordGivenBack) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), settings};
        co_await until_given_back(producer);
        bool is_closed = false;
        asio::co_spawn(io, producer.close(), [&](const std::exception_ptr&) { is_closed = true; });
        for (int turn = 0; turn < 10; ++turn) co_await asio::post(asio::use_awaitable);
        EXPECT_FALSE(is_closed);

        no_threads.reset();

        EXPECT_TRUE(co_await eventually([&] { return is_closed; }));
    });

    EXPECT_TRUE(outcomes.are_complete());
    EXPECT_EQ(outcomes.failures(), 0U);
}

TEST_F(UnreplacedClientTest, ARecordGivenBackIsCertainlyNotWrittenWhenItsProducerEnds) {
    run(io, [&]() -> asio::awaitable<void> {
        {
            Producer producer{io.get_executor(), settings};
            co_await until_given_back(producer);
            no_threads.reset(); // the end of a client takes one
        }
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    EXPECT_EQ(outcomes.results.front().error(), Errc::producer_closed);
    EXPECT_EQ(outcomes.results.front().error().inner(), nullptr);
}

// A client fails on its own a moment after it was opened, and says so to the first record that it is given then.
TEST_F(FailedClientTest, ARecordThatAFailedClientDoesNotTakeIsNotCharged) {
    const RefusingCluster refusing;
    auto settings = config();
    settings.bootstrap_servers = refusing.bootstrap_servers();
    const Record record{"t", "k", "v"};
    bool was_failed = false;
    run(io, [&]() -> asio::awaitable<void> {
        for (auto moment = 10ms; !was_failed && moment < 10s; moment *= 2) {
            const MemoryAccount account{"producer"};
            Producer producer{io.get_executor(), settings, account};
            co_await pause_for(moment);
            producer.async_send(record, [](const Result<Delivery>&) {});
            was_failed = producer.get_stats().reopened == 1;
            if (!was_failed) continue;
            EXPECT_EQ(producer.get_stats().waiting, 1U);
            EXPECT_EQ(account.used(), 0U);
        }
    });

    EXPECT_TRUE(was_failed);
}

// Small batches: most records are still with the client when it fails, certainly not written.
TEST_F(FailedClientTest, WhatAFailedClientGivesBackIsWrittenInTheOldOrder) {
    auto settings = config();
    settings.properties = {{"batch.num.messages", "10"}};
    settings.max_in_flight = 500;
    const auto records = numbered("t", 1000);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), settings};
        EXPECT_TRUE(co_await producer.send(records[0]));
        cluster.fail_next_produce_requests({KafkaErrc{45}}); // out of order sequence number: fatal for the client
        outcomes.send(producer, records);
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
        EXPECT_EQ(producer.get_stats().reopened, 1U);
    });

    EXPECT_LT(outcomes.failures(), 200U); // of those that were with the client
    std::int64_t last = -1;
    for (const auto& result : outcomes.results) {
        if (!result) continue;
        EXPECT_GT(result.value().offset, last);
        last = result.value().offset;
    }
}

} // namespace
} // namespace velostream::kafka
