// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

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

TEST_F(ProducerTest, WritesAnEmptyViewThatPointsToNothingAsEmptyAndNotAsNull) {
    constexpr std::string_view nothing;
    const HeaderView header{.name = "a", .value = nothing};
    RecordView plain{.topic = "t", .partition = 2, .key = nothing, .value = nothing};
    RecordView full = plain;
    full.headers = std::span{&header, 1};

    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const CallContext call;
        for (const auto& view : {plain, full}) {
            const auto sent = co_await producer.async_send(view, call, asio::use_awaitable);
            EXPECT_TRUE(sent) << sent.error();
        }
    });

    const auto log = read_log(cluster.bootstrap_servers(), "t", 2);
    ASSERT_EQ(log.size(), 2U);
    for (const auto& logged : log) {
        EXPECT_EQ(logged.record.key, "");
        EXPECT_EQ(logged.record.value, "");
    }
    ASSERT_EQ(log[1].record.headers.size(), 1U);
    EXPECT_EQ(log[1].record.headers[0].value, "");
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

// The mock cluster is one that stamps its records, all of them with this time.
TEST_F(ProducerTest, TellsTheTimeWithWhichTheRecordIsStored) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        Record record{"t", "k", "v"};
        record.timestamp = WallTime{5678ms};

        const auto sent = co_await producer.send(record);

        EXPECT_EQ(sent.value().timestamp, WallTime{1234ms});
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

    expect_written_in_order(outcomes);
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
    expect_written_in_order(outcomes);
}

TEST_F(ProducerTest, ChargesItsAccountForWhatIsInFlightAndGivesItBack) {
    const MemoryAccount account{"producer"};
    const auto records = numbered("t", 1000);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config(), account};
        outcomes.send(producer, records);
        EXPECT_GE(account.used(), producer.get_stats().in_flight_bytes);
        EXPECT_LE(account.used(), producer.get_stats().in_flight_bytes + 16 * 1024);

        EXPECT_TRUE(co_await eventually([&] {
            EXPECT_GE(account.used(), producer.get_stats().in_flight_bytes);
            return outcomes.are_complete();
        }));

        EXPECT_EQ(account.used(), 0U);
        outcomes.send(producer, records);
        EXPECT_GT(account.used(), 0U);
    });

    EXPECT_EQ(account.used(), 0U); // the producer has gone
}

TEST_F(ProducerTest, AFullAccountMakesSendsWaitTheirTurn) {
    const auto records = numbered("t", 1000);
    const auto limit = 10 * records.back().size_bytes();
    const MemoryAccount account{"producer", limit};
    Outcomes outcomes;
    std::size_t most = 0;
    run(io, [&]() -> asio::awaitable<void> {
        auto settings = config();
        settings.linger = 0ms;
        Producer producer{io.get_executor(), settings, account};
        outcomes.send(producer, records);
        EXPECT_TRUE(co_await eventually([&] {
            most = std::max(most, producer.get_stats().in_flight);
            EXPECT_LE(producer.get_stats().in_flight_bytes, limit);
            return outcomes.are_complete();
        }));
    });

    EXPECT_GE(most, 10U);
    EXPECT_LT(account.refusals(), records.size()) << "asked much more often than in flight have come back";
    expect_written_in_order(outcomes);
}

TEST_F(ProducerTest, UsesMemoryThatOthersGiveBackWhileRecordsAreInFlight) {
    const auto records = numbered("t", 1000);
    const auto size = records.back().size_bytes();
    const MemoryAccount process{"process", 40 * size};
    auto taken = process.try_reserve(30 * size);
    std::size_t ended = 0, most_before = 0, most_after = 0;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config(), process.child("producer")};
        for (const auto& record : records)
            producer.async_send(record, [&](const Result<Delivery>&) {
                auto& most = ended < 100 ? most_before : most_after;
                most = std::max(most, producer.get_stats().in_flight);
                if (++ended == 100) taken->release();
            });
        co_await producer.async_flush(asio::use_awaitable);
    });

    EXPECT_EQ(ended, records.size());
    EXPECT_LE(most_before, 11U);
    EXPECT_GT(most_after, 30U);
}

TEST_F(ProducerTest, ARecordThatFollowsALoneOneIsChargedAlthoughItWasRefused) {
    const auto records = numbered("t", 2);
    const auto size = records.back().size_bytes();
    const MemoryAccount account{"producer", size};
    Bytes charged = 0;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config(), account};
        producer.async_send(records[0], [&](const Result<Delivery>&) { charged = account.used(); });
        producer.async_send(records[1], [](const Result<Delivery>&) {});
        EXPECT_EQ(producer.get_stats().waiting, 1U);

        co_await producer.async_flush(asio::use_awaitable);
    });

    EXPECT_EQ(charged, size); // the first has ended, the second is in flight
}

TEST_F(ProducerTest, WithoutAnyMemoryRecordsGoOneByOne) {
    const MemoryAccount process{"process", 1'000};
    const auto taken = process.try_reserve(1'000);
    const auto records = numbered("t", 20);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        auto settings = config();
        settings.linger = 0ms;
        Producer producer{io.get_executor(), settings, process.child("producer")};
        outcomes.send(producer, records);
        EXPECT_TRUE(co_await eventually([&] {
            EXPECT_LE(producer.get_stats().in_flight, 1U);
            return outcomes.are_complete();
        }));
    });

    EXPECT_EQ(outcomes.failures(), 0U);
    EXPECT_EQ(process.peak(), 1'000U);
}

TEST_F(ProducerTest, ARecordThatTheClientRefusesIsNotCharged) {
    const MemoryAccount account{"producer"};
    const Record large{"t", "k", std::string(2'000'000, 'v')};
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config(), account};
        EXPECT_FALSE(co_await producer.send(large));
        EXPECT_EQ(account.used(), 0U);
    });
}

TEST_F(ProducerTest, ARecordThatTheClientHasNoRoomForIsNotCharged) {
    auto settings = config();
    settings.properties = {{"queue.buffering.max.kbytes", "1"}};
    const MemoryAccount account{"producer"};
    const Record large{"t", "k", std::string(2'000, 'v')};
    Producer producer{io.get_executor(), settings, account};

    producer.async_send(large, [](const Result<Delivery>&) {});

    EXPECT_EQ(producer.get_stats().waiting, 1U);
    EXPECT_EQ(account.used(), 0U);
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

        EXPECT_GE(now() - begin, 400ms);
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

        const auto sent = co_await producer.send(record, call);

        EXPECT_EQ(sent.error(), Errc::send_outcome_unknown) << sent.error();
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
        cluster.set_round_trip_time(60s);
        producer.async_send(record, [](const Result<Delivery>&) {});
        const CallContext call{now() + 200ms};

        const auto sent = co_await producer.send(record, call);

        EXPECT_EQ(sent.error(), Errc::send_timeout) << sent.error();
        EXPECT_EQ(producer.get_stats().waiting, 0U);
    });
}

// The hashes are those of the Java client's own test.
TEST_F(ProducerTest, AKeyGoesToThePartitionThatTheJavaClientWouldChoose) {
    constexpr int partitions = 8;
    ASSERT_TRUE(cluster.create_topic("keyed", partitions));
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        for (const auto& [key, murmur2] : {std::pair{"21", -973932308},
                                           {"foobar", -790332482},
                                           {"a-little-bit-long-string", -985981536},
                                           {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971}}) {
            const Record record{"keyed", key, "value"};
            const auto sent = co_await producer.send(record);
            EXPECT_EQ(sent.value().partition, (murmur2 & 0x7fffffff) % partitions) << key;
        }
    });
}

// The user's properties may set a limit below ours: the first that finds the client full stays the first.
TEST_F(ProducerTest, RecordsThatTheClientHasNoRoomForStayInOrder) {
    auto settings = config();
    settings.properties = {{"queue.buffering.max.messages", "10"}};
    const auto records = numbered("t", 500);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), settings};
        outcomes.send(producer, records);
        EXPECT_GT(producer.get_stats().waiting, 0U);
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }, 10s));
    });

    expect_written_in_order(outcomes);
}

TEST_F(ProducerTest, AClientThatTakesOneRecordAtATimeTakesThemAll) {
    auto settings = config();
    settings.properties = {{"queue.buffering.max.messages", "1"}};
    settings.linger = 0ms;
    const auto records = numbered("t", 20);
    Outcomes outcomes;
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), settings};
        outcomes.send(producer, records);
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }, 10s));
    });

    EXPECT_EQ(outcomes.failures(), 0U);
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

TEST_F(ProducerTest, WhatTheClientComplainedOfIsForgottenAfterADelivery) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const auto last_problem = [&] { return producer.get_stats().last_problem; };
        cluster.all_brokers_down();
        std::optional<Result<Delivery>> sent;
        const Record record{"t", "k", "v"};
        producer.async_send(record, [&](Result<Delivery> result) { sent = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return !last_problem().empty(); }));

        cluster.all_brokers_up();
        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }));

        EXPECT_TRUE(sent && *sent);
        EXPECT_EQ(last_problem(), "");
    });
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

} // namespace
} // namespace velostream::kafka
