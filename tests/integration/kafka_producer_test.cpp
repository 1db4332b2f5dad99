// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <map>

#include "kafka_support.hpp"

namespace velostream::kafka {
namespace {

class ProducerTest : public testing::Test {
  protected:
    ProducerConfig config(Duration delivery_timeout = 30s) const {
        return {.bootstrap_servers = cluster.bootstrap_servers(), .delivery_timeout = delivery_timeout};
    }

    asio::io_context io{1};
    MockCluster cluster{3};
};

// Ends with the outcome of each send, in the order of the calls.
struct Outcomes {
    std::vector<Result<Delivery>> results;
    std::size_t ended = 0;

    void send(Producer& producer, const std::vector<Record>& records) {
        const auto first = results.size();
        results.resize(first + records.size());
        for (std::size_t i = 0; i < records.size(); ++i)
            producer.async_send(records[i], [this, place = first + i](Result<Delivery> result) {
                results[place] = std::move(result);
                ++ended;
            });
    }
    bool are_complete() const { return ended == results.size(); }
    std::size_t failures() const {
        return static_cast<std::size_t>(std::ranges::count_if(results, [](const auto& result) { return !result; }));
    }
};

std::vector<Record> numbered(const std::string& topic, int count, const std::string& key = "k") {
    std::vector<Record> records;
    for (int i = 0; i < count; ++i) {
        records.emplace_back(topic, key, std::to_string(i));
        records.back().partition = 0;
    }
    return records;
}

TEST_F(ProducerTest, WritesEveryByteNullsEmptyOnesAndDuplicateHeadersIncluded) {
    const std::string binary{"\0\xff\n\x80", 4};
    std::vector<Record> records{{"t", std::nullopt, std::nullopt}, {"t", "", ""}, {"t", binary, binary}};
    records[0].headers = {{"a", "1"}, {"b", std::nullopt}, {"a", ""}, {"a", "1"}, {"", binary}};
    records[1].timestamp = WallTime{1234567890123ms};
    for (auto& record : records) record.partition = 2;

    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        for (const auto& record : records) {
            const auto sent = co_await producer.send(record);
            EXPECT_TRUE(sent) << sent.error();
        }
    });

    auto log = read_log(cluster.bootstrap_servers(), "t", 2);
    ASSERT_EQ(log.size(), records.size());
    EXPECT_EQ(log[1].record.timestamp, records[1].timestamp);
    for (std::size_t i = 0; i < log.size(); ++i) {
        log[i].record.timestamp = records[i].timestamp;
        EXPECT_EQ(log[i].record, records[i]) << i;
    }
}

TEST_F(ProducerTest, TellsWhereTheRecordIs) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        Record record{"t", "k", "v"};
        record.partition = 3;

        const auto first = co_await producer.send(record);
        const auto second = co_await producer.send(record);

        EXPECT_EQ(first.value().partition, 3);
        EXPECT_EQ(first.value().offset, 0);
        EXPECT_EQ(second.value().offset, 1);
    });
}

TEST_F(ProducerTest, RecordsOfAPartitionEnterItsLogInTheOrderOfTheCalls) {
    const auto records = numbered("t", 20'000);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        outcomes.send(producer, records);
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    EXPECT_EQ(outcomes.failures(), 0U);
    for (std::size_t i = 0; i < outcomes.results.size(); ++i)
        ASSERT_EQ(outcomes.results[i].value().offset, static_cast<std::int64_t>(i));
}

TEST_F(ProducerTest, AKeyAlwaysGoesToTheSamePartition) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        std::map<std::string, std::int32_t> partition_of;
        for (int i = 0; i < 40; ++i) {
            const Record record{"t", std::to_string(i % 10), "v"};
            const auto sent = co_await producer.send(record);
            const auto [known, is_new] = partition_of.emplace(*record.key, sent.value().partition);
            EXPECT_EQ(known->second, sent.value().partition);
        }
    });
}

TEST_F(ProducerTest, NeverHoldsMoreThanItsBudgetAndLetsWaitersGoInTurn) {
    auto limited = config();
    limited.max_in_flight = 100;
    const auto records = numbered("t", 5000);
    limited.max_in_flight_bytes = 60 * records.back().size_bytes();
    Outcomes outcomes;
    std::size_t most = 0;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), limited};
        outcomes.send(producer, records);
        EXPECT_TRUE(co_await eventually([&] {
            const auto stats = producer.get_stats();
            most = std::max(most, stats.in_flight);
            EXPECT_LE(stats.in_flight, 100U);
            EXPECT_LE(stats.in_flight_bytes, limited.max_in_flight_bytes);
            return outcomes.are_complete();
        }));
    });

    EXPECT_GT(most, 50U);
    EXPECT_EQ(outcomes.failures(), 0U);
    for (std::size_t i = 0; i < outcomes.results.size(); ++i)
        ASSERT_EQ(outcomes.results[i].value().offset, static_cast<std::int64_t>(i));
}

TEST_F(ProducerTest, ARecordLargerThanTheBudgetGoesAlone) {
    auto limited = config();
    limited.max_in_flight_bytes = 10;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), limited};
        const Record record{"t", "k", std::string(1000, 'x')};
        const auto sent = co_await producer.send(record);
        EXPECT_TRUE(sent);
    });
}

TEST_F(ProducerTest, ARecordThatTheClientRefusesFailsAtOnceAndBlamesTheRecord) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record too_large{"t", "k", std::string(2'000'000, 'x')};
        const Record nameless{"", "k", "v"};

        const auto refused = co_await producer.send(too_large);
        const auto unnamed = co_await producer.send(nameless);

        EXPECT_EQ(refused.error(), KafkaErrc::message_too_large);
        EXPECT_TRUE(refused.error().blames_record());
        EXPECT_EQ(unnamed.error(), ErrorType::bad_request);
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
    });
}

TEST_F(ProducerTest, WithTheBrokersDownASendEndsAtItsDeadlineWithTheCause) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config(500ms)};
        const Record record{"t", "k", "v"};
        EXPECT_TRUE(co_await producer.send(record));
        cluster.all_brokers_down();
        const auto begin = now();

        const auto sent = co_await producer.send(record);

        EXPECT_GE(now() - begin, 490ms);
        EXPECT_LT(now() - begin, 700ms);
        const auto error = sent.error();
        const auto cause = error == Errc::send_outcome_unknown && error.inner() ? *error.inner() : error;
        EXPECT_EQ(cause, ErrorType::network) << error;
        EXPECT_FALSE(error.blames_record());
    });
}

TEST_F(ProducerTest, TheDeadlineOfACallBoundsItsSend) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config(30s)};
        cluster.all_brokers_down();
        const Record record{"t", "k", "v"};
        const CallContext call{now() + 300ms};
        const auto begin = now();

        const auto sent = co_await producer.send(record, call);

        EXPECT_EQ(sent.error(), Errc::send_outcome_unknown) << sent.error();
        EXPECT_LT(now() - begin, 500ms);
        EXPECT_EQ(producer.get_stats().given_up, 1U);
        EXPECT_EQ(producer.get_stats().in_flight, 1U);
    });
}

TEST_F(ProducerTest, ASendThatNeverGotItsTurnWasCertainlyNotWritten) {
    auto limited = config(30s);
    limited.max_in_flight = 1;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), limited};
        const Record record{"t", "k", "v"};
        EXPECT_TRUE(co_await producer.send(record));
        cluster.set_round_trip_time(1s);
        producer.async_send(record, [](const Result<Delivery>&) {});
        const CallContext call{now() + 200ms};

        const auto sent = co_await producer.send(record, call);

        EXPECT_EQ(sent.error(), Errc::send_timeout) << sent.error();
        EXPECT_EQ(producer.get_stats().waiting, 0U);
        cluster.set_round_trip_time(0s);
    });
}

TEST_F(ProducerTest, AnOutageShorterThanTheDeadlineLosesAndDoublesNothing) {
    const auto records = numbered("t", 3000);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config(30s)};
        EXPECT_TRUE(co_await producer.send(records[0]));
        cluster.all_brokers_down();
        outcomes.send(producer, records);
        co_await pause_for(1s);
        cluster.all_brokers_up();
        const auto up = now();
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
        EXPECT_LT(now() - up, 5s);
    });

    EXPECT_EQ(outcomes.failures(), 0U);
    const auto log = read_log(cluster.bootstrap_servers(), "t", 0);
    ASSERT_EQ(log.size(), records.size() + 1);
    for (std::size_t i = 0; i < records.size(); ++i) ASSERT_EQ(log[i + 1].record.value, records[i].value);
}

TEST_F(ProducerTest, ErrorsThatTheClientRetriesAreNotSeen) {
    cluster.fail_next_produce_requests({KafkaErrc{6}, KafkaErrc{19}, KafkaErrc{7}}); // no leader, replicas, timed out
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        const auto sent = co_await producer.send(record);
        EXPECT_TRUE(sent) << sent.error();
    });
}

TEST_F(ProducerTest, ErrorsThatTheBrokerMeansAreToldAsTheyAre) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        EXPECT_TRUE(co_await producer.send(record));

        cluster.fail_next_produce_requests({KafkaErrc{44}}); // policy violation
        const auto illegal = co_await producer.send(record);
        EXPECT_EQ(illegal.error(), ErrorType::bad_request) << illegal.error();
        const auto after = co_await producer.send(record);
        EXPECT_TRUE(after) << after.error();

        cluster.fail_next_produce_requests({KafkaErrc::topic_authorization_failed});
        const auto forbidden = co_await producer.send(record);
        EXPECT_EQ(forbidden.error(), KafkaErrc::topic_authorization_failed) << forbidden.error();
        EXPECT_EQ(forbidden.error(), ErrorType::authorization);
    });
}

TEST_F(ProducerTest, ACancelledSendLeavesNothingBehindOnceTheClientLetsGo) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        EXPECT_TRUE(co_await producer.send(record));
        cluster.set_round_trip_time(300ms);
        std::optional<Result<Delivery>> sent;
        asio::cancellation_signal signal;
        producer.async_send(record, asio::bind_cancellation_slot(
                                        signal.slot(), [&](Result<Delivery> result) { sent = std::move(result); }));

        signal.emit(asio::cancellation_type::total);
        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }, 200ms));

        EXPECT_EQ(sent->error(), Errc::cancelled);
        EXPECT_EQ(*sent->error().inner(), Errc::send_outcome_unknown);
        EXPECT_EQ(producer.get_stats().in_flight, 1U);
        cluster.set_round_trip_time(0ms);
        co_await producer.async_flush(asio::use_awaitable);
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
        EXPECT_EQ(producer.get_stats().in_flight_bytes, 0U);
        EXPECT_EQ(producer.get_stats().late_deliveries, 1U);
    });
}

TEST_F(ProducerTest, TheSlotOfACallCancelsItsSend) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        cluster.all_brokers_down();
        const Record record{"t", "k", "v"};
        asio::cancellation_signal signal;
        CallContext call;
        call.set_cancellation_slot(signal.slot());
        std::optional<Result<Delivery>> sent;
        producer.async_send(record, call, [&](Result<Delivery> result) { sent = std::move(result); });

        signal.emit(asio::cancellation_type::terminal);

        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }, 200ms));
        EXPECT_EQ(sent->error(), Errc::cancelled);
    });
}

TEST_F(ProducerTest, WhileNothingIsInProgressItDoesNotKeepTheContextRunning) {
    Producer producer{io.get_executor(), config()};
    const Record record{"t", "k", "v"};
    asio::co_spawn(
        io, [](Producer& to, const Record& what) -> asio::awaitable<void> { co_await to.send(what); }(producer, record),
        asio::detached);
    const auto begin = now();

    io.run();

    EXPECT_LT(now() - begin, 10s);
    EXPECT_EQ(producer.get_stats().sent, 1U);
}

TEST_F(ProducerTest, CloseWaitsForWhatIsInFlightAndRefusesTheRest) {
    const auto records = numbered("t", 1000);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        outcomes.send(producer, records);
        co_await producer.close();
        EXPECT_TRUE(outcomes.are_complete());
        const auto refused = co_await producer.send(records[0]);
        EXPECT_EQ(refused.error(), Errc::producer_closed);
        co_await producer.close();
    });

    EXPECT_EQ(outcomes.failures(), 0U);
}

TEST_F(ProducerTest, CloseGivesUpAfterItsGrace) {
    const auto records = numbered("t", 10);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        cluster.all_brokers_down();
        outcomes.send(producer, records);
        const auto begin = now();
        co_await producer.close(200ms);
        EXPECT_LT(now() - begin, 500ms);
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    for (const auto& result : outcomes.results) EXPECT_EQ(result.error(), Errc::producer_closed);
}

TEST_F(ProducerTest, DestructionEndsItsSendsWithoutBlocking) {
    const auto records = numbered("t", 10);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        cluster.all_brokers_down();
        {
            Producer producer{io.get_executor(), config()};
            outcomes.send(producer, records);
        }
        EXPECT_EQ(outcomes.ended, 0U); // no user code inside a destructor
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
    });

    for (const auto& result : outcomes.results) EXPECT_EQ(result.error(), Errc::producer_closed);
}

TEST_F(ProducerTest, AContextMayBeDestroyedWithSendsInFlight) {
    const auto record = std::make_unique<Record>("t", "k", "v");
    const auto alive = std::make_shared<int>(0);
    {
        asio::io_context dying{1};
        // The coroutine owns the producer that it waits for.
        auto sending = [](asio::io_context& context, ProducerConfig settings, const Record& what,
                          std::shared_ptr<int> token) -> asio::awaitable<void> {
            Producer producer{context.get_executor(), settings};
            for (;;) co_await producer.send(what);
            (void)token;
        };
        cluster.all_brokers_down();
        asio::co_spawn(dying, sending(dying, config(), *record, alive), asio::detached);
        dying.run_for(100ms);
        EXPECT_GT(alive.use_count(), 1);
    }

    EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(ProducerTest, AProducerMayOutliveItsContext) {
    auto dying = std::make_unique<asio::io_context>(1);
    Producer producer{dying->get_executor(), config()};
    const Record record{"t", "k", "v"};
    bool was_called = false;
    producer.async_send(record, [&](const Result<Delivery>&) { was_called = true; });
    dying->run_for(1ms);

    dying.reset();

    EXPECT_FALSE(was_called && producer.get_stats().sent == 0);
}

TEST_F(ProducerTest, AFatalErrorOfTheClientReplacesItAndGoesOn) {
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

} // namespace
} // namespace velostream::kafka
