// SPDX-License-Identifier: Apache-2.0
// What the brokers refuse a consumer, and no other try can mend, ends its reading.
#include <boost/asio/post.hpp>
#include <optional>
#include <string>

#include "failing_brokers.hpp"
#include "kafka_support.hpp"

namespace velostream::kafka {
namespace {

class UnmendableErrorsTest : public ::testing::Test {
  protected:
    UnmendableErrorsTest() { rd_kafka_mock_topic_create(brokers.cluster(), "t", 1, 1); }

    // On its own the consumer looks around once a second.
    Consumer member_of(const std::string& group) {
        return Consumer{io.get_executor(),
                        {.bootstrap_servers = brokers.bootstrap_servers(),
                         .group_id = group,
                         .topics = {"t"},
                         .commit_interval = 10s,
                         .fetch_wait = 5ms}};
    }

    void refuse_next_to_join(KafkaErrc code) {
        constexpr std::int16_t join_group = 11;
        rd_kafka_mock_push_request_errors(brokers.cluster(), join_group, 1, static_cast<rd_kafka_resp_err_t>(code));
    }
    void forbid_topic() {
        rd_kafka_mock_topic_set_error(brokers.cluster(), "t", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    }

    // Until `consumer` has been told what cannot be mended, and whoever waits for its records, too.
    static asio::awaitable<void> until_refused(const Consumer& consumer, KafkaErrc refusal) {
        const auto text = make_error_code(refusal).message();
        const auto is_told = [&] { return consumer.get_stats().last_problem.find(text) != std::string::npos; };
        EXPECT_TRUE(co_await eventually(is_told)) << consumer.get_stats().last_problem;
        for (int turn = 0; turn < 10; ++turn) co_await asio::post(asio::use_awaitable);
    }

    void start_reading(Consumer& consumer) {
        asio::co_spawn(io, consumer.next_batch(),
                       [this](const std::exception_ptr&, Result<RecordBatch> read) { batch = std::move(read); });
    }
    void start_loop(Consumer& consumer) {
        const auto handler = [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; };
        const ForEachOptions options;
        asio::co_spawn(io, consumer.for_each(options, handler),
                       [this](const std::exception_ptr&, Result<void> ended) { loop = std::move(ended); });
    }

    asio::io_context io{1};
    const FailingBrokers brokers{1};
    std::optional<Result<RecordBatch>> batch;
    std::optional<Result<void>> loop;
};

TEST_F(UnmendableErrorsTest, ABatchOfWhoMayNotJoinTheGroupIsThatError) {
    run(io, [&]() -> asio::awaitable<void> {
        for (const auto code :
             {KafkaErrc::group_authorization_failed, KafkaErrc::sasl_authentication_failed,
              KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT}, KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_REQUEST}}) {
            batch.reset();
            refuse_next_to_join(code);
            auto consumer = member_of("batch-" + std::to_string(static_cast<int>(code)));
            start_reading(consumer);

            co_await until_refused(consumer, code);

            EXPECT_TRUE(batch) << make_error_code(code).message();
            EXPECT_TRUE(batch && batch->error() == code) << make_error_code(code).message();
            co_await consumer.close();
        }
    });
}

TEST_F(UnmendableErrorsTest, ALoopOfWhoMayNotJoinTheGroupEndsWithThatError) {
    run(io, [&]() -> asio::awaitable<void> {
        refuse_next_to_join(KafkaErrc::group_authorization_failed);
        auto consumer = member_of("g");
        start_loop(consumer);

        co_await until_refused(consumer, KafkaErrc::group_authorization_failed);

        EXPECT_TRUE(loop && loop->error() == KafkaErrc::group_authorization_failed);
        co_await consumer.close();
        EXPECT_TRUE(co_await eventually([&] { return loop.has_value(); }));
    });
}

TEST_F(UnmendableErrorsTest, ABatchOfWhoMayNotReadTheTopicIsThatError) {
    run(io, [&]() -> asio::awaitable<void> {
        forbid_topic();
        auto consumer = member_of("g");
        start_reading(consumer);

        co_await until_refused(consumer, KafkaErrc::topic_authorization_failed);

        EXPECT_TRUE(batch && batch->error() == KafkaErrc::topic_authorization_failed);
        co_await consumer.close();
        EXPECT_TRUE(co_await eventually([&] { return batch.has_value(); }));
    });
}

TEST_F(UnmendableErrorsTest, ALoopOfWhoMayNotReadTheTopicEndsWithThatError) {
    run(io, [&]() -> asio::awaitable<void> {
        forbid_topic();
        auto consumer = member_of("g");
        start_loop(consumer);

        co_await until_refused(consumer, KafkaErrc::topic_authorization_failed);

        EXPECT_TRUE(loop && loop->error() == KafkaErrc::topic_authorization_failed);
        co_await consumer.close();
        EXPECT_TRUE(co_await eventually([&] { return loop.has_value(); }));
    });
}

} // namespace
} // namespace velostream::kafka
