// SPDX-License-Identifier: Apache-2.0
// Troubles that meet: a rebalance while something else is being mended, a handler that does not end.
#include <boost/asio/post.hpp>
#include <set>

#include "kafka_exactly_once_fixture.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"

namespace velostream::kafka {
namespace {

using ExactlyOnceTroubleTest = ExactlyOnceTest;

TEST_F(ExactlyOnceTroubleTest, PartitionsThatAreAskedBackDuringARecoveryDoNotStopTheLoopForEver) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto first = processor();
        std::uint64_t rebalances = 0;
        const auto is_asked_back = [&] { return first.get_stats().reading.rebalances > rebalances; };
        Loop loop;
        start(first, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return committed(first) == 8; }));

        // An abort, after which it cannot be found out where to read on.
        answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
        for (int failures = 0; failures < 6; ++failures)
            answer_next(offset_fetch, {RD_KAFKA_RESP_ERR_INVALID_GROUP_ID});
        co_await write(8);
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().aborted >= 1; }));
        rebalances = first.get_stats().reading.rebalances;
        {
            auto second = processor([](auto& settings) { settings.transactional_id = "copier-2"; });
            EXPECT_TRUE(co_await eventually(is_asked_back));
            rd_kafka_mock_clear_request_errors(brokers.cluster(), offset_fetch);
            EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));
            co_await second.close();
        }
        EXPECT_TRUE(co_await eventually([&] { return first.assignment().size() == 4; }));
        co_await write(8);

        EXPECT_TRUE(co_await eventually([&] { return started.contains("23") && started.contains("16"); }));
        EXPECT_FALSE(loop.ended);
        co_await first.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, NoHandlerStartsAnyMoreWhenPartitionsAreAskedBack) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto first = processor([](auto& settings) { settings.commit_interval = 50s; });
        std::size_t may_end = 0, ended = 0;
        auto holds = [&](std::string) -> asio::awaitable<Result<void>> {
            auto waiting = eventually([&, mine = started.size()] { return mine <= may_end; });
            EXPECT_TRUE(co_await std::move(waiting));
            ++ended;
            co_return Result<void>{};
        };
        EXPECT_TRUE(co_await eventually([&] { return first.assignment().size() == 4; }));
        co_await pause_for(200ms); // all of it has been fetched
        Loop loop;
        start(first, loop, copying(holds), {.max_in_flight = 2});
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 2; }));
        auto second = processor([](auto& settings) { settings.transactional_id = "copier-2"; });
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().reading.rebalances == 2; }));

        may_end = 1;
        EXPECT_TRUE(co_await eventually([&] { return ended == 1; }));
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().sending.sent == 1; }));
        for (int turns = 0; turns < 100; ++turns) co_await asio::post(io, asio::use_awaitable);

        EXPECT_EQ(started.size(), 2U);
        may_end = 100;
        EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, AHandlerThatHangsIsCancelledWhenItsPartitionsAreLost) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        auto hangs_once = [this](std::string value) -> asio::awaitable<Result<void>> {
            if (value == "5" && started["5"] == 1) co_await pause_for(1h);
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, copying(hangs_once));
        EXPECT_TRUE(co_await eventually([&] { return started.contains("5"); }));

        answer_next(heartbeat, {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID});

        EXPECT_TRUE(co_await eventually([&] { return started["5"] == 2; })) << copier.get_stats().last_problem;
        EXPECT_FALSE(loop.ended);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, PartitionsThatAreAskedBackDuringACommitAreKeptToItsEnd) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto first = processor([](auto& settings) { settings.producer.delivery_timeout = 50s; });
        for (int tries = 0; tries < 1000; ++tries) answer_next(produce, {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS});
        std::optional<Record> copied;
        auto throws_over = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            transaction.async_send(copied.emplace(copy_of(record)), [](const Result<Delivery>&) {});
            co_return;
        };
        Loop loop;
        start(first, loop, throws_over);
        EXPECT_TRUE(co_await eventually([&] { return copied.has_value(); }));

        auto second = processor([](auto& settings) { settings.transactional_id = "copier-2"; });
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().reading.rebalances == 2; })); // asked back
        EXPECT_EQ(first.assignment().size(), 4U);
        EXPECT_EQ(first.get_stats().committed, 0U);
        rd_kafka_mock_clear_request_errors(brokers.cluster(), produce);
        EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));

        EXPECT_GE(first.get_stats().records, 1U)
            << "more where it reads again: the mock keeps no transaction's offsets";
        EXPECT_EQ(first.get_stats().aborted, 0U) << first.get_stats().last_problem;
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, AMemberThatIsFencedKeepsNoPartitions) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto fenced =
            processor([](auto& settings) { settings.consumer.properties["max.poll.interval.ms"] = "300000"; });
        answer_next(end_transaction, {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH});
        Loop loop;
        start(fenced, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_EQ(loop.ended->error(), Errc::producer_fenced) << loop.ended->error();

        auto other = processor([](auto& settings) { settings.consumer.properties["max.poll.interval.ms"] = "300000"; });
        EXPECT_TRUE(co_await eventually([&] { return other.assignment().size() == 2; }));

        co_await fenced.close();
        co_await other.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, AHandlerThatHangsIsCancelledWhenItsTransactionIsTooOld) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor([](auto& settings) {
            settings.transaction_timeout = 1s;
            settings.producer.delivery_timeout = 1s;
        });
        auto hangs_once = [this](std::string value) -> asio::awaitable<Result<void>> {
            if (value == "5" && started["5"] == 1) co_await pause_for(1h);
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, copying(hangs_once));

        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 8; }))
            << committed(copier) << ", " << copier.get_stats().last_problem;

        EXPECT_FALSE(loop.ended);
        EXPECT_EQ(started["5"], 2);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, AHandlerThatHangsAfterAnotherFailedIsCancelledAndTheFailureIsTold) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor([](auto& settings) {
            settings.transaction_timeout = 1s;
            settings.producer.delivery_timeout = 1s;
        });
        auto fails_or_hangs = [this](std::string value) -> asio::awaitable<Result<void>> {
            if (value == "5") co_await pause_for(1h);
            if (value != "4") co_return Result<void>{};
            auto waiting = eventually([this] { return started.contains("5"); });
            if (co_await std::move(waiting)) co_return Error{Errc::operation_failed};
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, copying(fails_or_hangs));

        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_EQ(loop.ended->error(), Errc::operation_failed) << loop.ended->error();
        EXPECT_LE(committed(copier), 6) << "all but these two";
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, ATransactionThatFailsWhileItsCommitWaitsIsAborted) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor();
        std::optional<Record> copied;
        std::optional<Result<Delivery>> first;
        const auto set_round_trip = [&](int milliseconds) {
            rd_kafka_mock_broker_set_rtt(brokers.cluster(), 1, milliseconds);
        };
        auto gives_up = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            copied.emplace(copy_of(record));
            ++started[std::string{*record.value()}];
            if (first) co_return;
            set_round_trip(500);
            transaction.async_send(*copied, CallContext{now() + 200ms}, [&](Result<Delivery> sent) {
                first = std::move(sent);
                set_round_trip(0);
            });
        };
        Loop loop;
        start(copier, loop, gives_up);

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 1; }));

        EXPECT_TRUE(first && !*first) << "nobody could say whether it is in the transaction";
        EXPECT_EQ(copier.get_stats().aborted, 1U);
        EXPECT_EQ(started["0"], 2);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, ARecordWhoseOutputABrokerRefusesIsADeadLetterOfTheNextLoop) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        DeadLetterQueue letters{{.topic = "dead", .max_retries = 0}, DeadLetterTopic{copier}, {.group = "g"}};
        rd_kafka_mock_topic_create(brokers.cluster(), "dead", partitions, 1);
        std::set<std::string> refused; // by the values, which are unique here
        auto handler = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
            const std::string value{*record.value()};
            ++started[value];
            if (refused.contains(value)) {
                auto burying = letters.send_to_dlq(record, Error{KafkaErrc::message_too_large});
                const auto stored = co_await std::move(burying);
                co_return stored ? Result<void>{} : stored.error();
            }
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            const auto sent = co_await std::move(sending);
            if (sent) co_return Result<void>{};
            if (sent.error() == ErrorType::bad_request) refused.insert(value);
            co_return sent.error();
        };
        answer_next(produce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
        Loop first;
        start(copier, first, handler, {.max_in_flight = 1});
        EXPECT_TRUE(co_await eventually([&] { return first.ended.has_value(); }));
        EXPECT_EQ(first.ended->error(), KafkaErrc::message_too_large) << first.ended->error();
        EXPECT_EQ(refused.size(), 1U);

        Loop second;
        start(copier, second, handler);
        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 8; }));

        EXPECT_FALSE(second.ended);
        EXPECT_GE(letters.get_stats().sent, 1U) << "more in transactions that were aborted, too";
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, ABatchThatWasDamagedOnItsWayMeansAnotherTransactionAndNoBlame) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        std::vector<Error> refusals;
        auto handler = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            const auto sent = co_await std::move(sending);
            if (!sent) refusals.push_back(sent.error());
            co_return sent ? Result<void>{} : sent.error();
        };
        answer_next(produce, {RD_KAFKA_RESP_ERR_INVALID_MSG});
        Loop loop;
        start(copier, loop, handler, {.max_in_flight = 1});

        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 8; })) << copier.get_stats().last_problem;

        EXPECT_FALSE(loop.ended);
        EXPECT_GE(copier.get_stats().aborted, 1U) << "the mock cluster may miss what was never written, after that";
        EXPECT_FALSE(refusals.empty());
        for (const auto& refusal : refusals) EXPECT_FALSE(refusal.blames_record()) << refusal;
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, ABatchThatIsDamagedInTwoTransactionsEndsTheLoop) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor();
        answer_next(produce, {RD_KAFKA_RESP_ERR_INVALID_MSG, RD_KAFKA_RESP_ERR_INVALID_MSG});
        Loop loop;
        start(copier, loop, copying(), {.max_in_flight = 1});

        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_EQ(loop.ended->error(), KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_MSG}) << loop.ended->error();
        EXPECT_EQ(started["0"], 2);
        Loop next;
        start(copier, next, copying());
        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 1; }));
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, WhatWasCommittedOfAPartitionIsStillKnownWhenAnotherWasReadAgain) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(4);
        auto copier = processor();
        Loop loop;
        start(copier, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 4; }));

        answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
        co_await write(1);

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 5; }));
        EXPECT_EQ(copier.get_stats().aborted, 1U);
        EXPECT_EQ(committed(copier), 5);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTroubleTest, ThePartitionsThatAreEmptyAreAtTheirEndAfterAnAbortToo) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1); // three partitions are empty
        auto copier = processor();
        EXPECT_TRUE(co_await eventually([&] { return copier.assignment().size() == 4U; }));
        answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 1; }));

        EXPECT_EQ(copier.get_stats().aborted, 1U);
        EXPECT_TRUE(co_await eventually([&] { return copier.end_reached(); }));
        co_await copier.close();
    });
}

} // namespace
} // namespace velostream::kafka
