// SPDX-License-Identifier: Apache-2.0
// A send that a deadline cuts off may have been written: without the mark it is written once, whoever retries.
#include "kafka_producer_fixture.hpp"
#include "velostream/retry_executor.hpp"

namespace velostream::kafka {
namespace {

class CutOffSendTest : public ProducerTest {
  protected:
    // Has `call(producer, record)` made with brokers that answer long after any deadline of it, and then with ones that
    // answer at once the flush.
    template <class Call>
    void run_slowly(Call call) {
        ASSERT_TRUE(cluster.create_topic("payments", 1));
        run(io, [&]() -> asio::awaitable<void> {
            Producer producer{io.get_executor(), config()};
            const Record first{"payments", "k", "warm"};
            auto sent = producer.send(first);
            EXPECT_TRUE(co_await std::move(sent));
            cluster.set_round_trip_time(2s);
            const Record payment{"payments", "k", "payment"};
            auto calling = call(producer, payment);
            error = co_await std::move(calling);
            cluster.set_round_trip_time(0ms);
            auto flushed = producer.async_flush(asio::use_awaitable);
            co_await std::move(flushed);
        });
    }
    std::size_t written() const { return read_log(cluster.bootstrap_servers(), "payments", 0).size() - 1; }

    RetryExecutor<> retry{
        RetryConfig{.max_retries = 3, .backoff_strategy = FixedInterval{10ms}, .attempt_timeout = 150ms}};
    int tries = 0;
    Error error;
};

TEST_F(CutOffSendTest, IsWrittenOnceInThePlainForm) {
    run_slowly([this](Producer& producer, const Record& payment) -> asio::awaitable<Error> {
        auto send = [&] {
            ++tries;
            return producer.send(payment);
        };
        auto call = retry.execute_with_retry(send);
        const auto sent = co_await std::move(call);
        co_return sent.error();
    });

    EXPECT_EQ(tries, 1);
    EXPECT_TRUE(error.has_unknown_outcome()) << error;
    EXPECT_EQ(written(), 1u);
}

TEST_F(CutOffSendTest, IsWrittenOnceInTheContextForm) {
    run_slowly([this](Producer& producer, const Record& payment) -> asio::awaitable<Error> {
        auto send = [&](CallContext& context) {
            ++tries;
            return producer.send(payment, context);
        };
        auto call = retry.execute_with_retry(send);
        const auto sent = co_await std::move(call);
        co_return sent.error();
    });

    EXPECT_EQ(tries, 1);
    EXPECT_TRUE(error.has_unknown_outcome()) << error;
    EXPECT_EQ(written(), 1u);
}

} // namespace
} // namespace velostream::kafka
