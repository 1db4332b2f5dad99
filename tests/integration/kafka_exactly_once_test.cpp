// SPDX-License-Identifier: Apache-2.0
#include "kafka_exactly_once_fixture.hpp"

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <stdexcept>

#include "velostream/async/wait_queue.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"

namespace velostream::kafka {
namespace {

bool each_once(const std::map<std::string, int>& counts, std::size_t size) {
    return counts.size() == size && std::ranges::all_of(counts, [](const auto& count) { return count.second == 1; });
}

TEST_F(ExactlyOnceTest, OutputsAndOffsetsAreCommitted) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        auto copier = processor();
        Loop loop;
        start(copier, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 40; }));

        EXPECT_EQ(committed(copier), 40);
        EXPECT_TRUE(co_await eventually([&] { return copier.end_reached(); }));
        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_TRUE(*loop.ended) << loop.ended->error();
        co_await copier.close();
        EXPECT_TRUE(each_once(outputs(), 40));
    });
}

TEST_F(ExactlyOnceTest, AnOutageOfWhatTheHandlersCallIsWaitedOut) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        CircuitBreaker<> breaker{"service", {.failure_threshold = 1, .timeout = 50ms}};
        bool is_down = true;
        auto ask = [&](std::string) -> asio::awaitable<Result<void>> {
            auto call = [&]() -> asio::awaitable<Result<void>> {
                co_return is_down ? Result<void>{Error{Errc::broker_unreachable}} : Result<void>{};
            };
            auto calling = breaker.execute(call);
            co_return co_await std::move(calling);
        };
        auto copier = processor();
        Loop loop;
        start(copier, loop, copying(ask), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return breaker.get_stats().opened_count > 2; }));
        EXPECT_EQ(committed(copier), 0);

        is_down = false;
        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 40; }));

        EXPECT_FALSE(loop.ended);
        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        co_await copier.close();
        EXPECT_TRUE(each_once(outputs(), 40));
    });
}

TEST_F(ExactlyOnceTest, WhatIsInProgressAtStopIsCommittedBeforeTheLoopEnds) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor([](auto& settings) { settings.commit_interval = 50s; });
        Loop loop;
        start(copier, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 8; }));

        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_TRUE(*loop.ended) << loop.ended->error();
        EXPECT_EQ(copier.get_stats().committed, 1U);
        EXPECT_EQ(copier.get_stats().records, 8U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, ATransactionEndsWithItsMostRecords) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        auto copier = processor([](auto& settings) {
            settings.commit_interval = 50s;
            settings.max_records = 10;
        });
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 40; }));

        EXPECT_EQ(copier.get_stats().committed, 4U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, ATransactionEndsWithTheRecordThatReachesItsMostBytes) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        auto copier = processor([](auto& settings) {
            settings.commit_interval = 50s;
            settings.max_bytes = 3 * Record::overhead; // three records without their values
        });
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records >= 39; }));

        EXPECT_EQ(copier.get_stats().committed, 13U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, ATransactionThatIsDueTakesNoMoreRecords) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(40);
        auto copier = processor();
        std::uint64_t committed_before_the_last = 0;
        auto overlaps = [&](std::string) -> asio::awaitable<Result<void>> {
            const auto mine = started.size();
            if (mine == 40) committed_before_the_last = copier.get_stats().committed;
            co_await pause_for(2ms);
            // Until there is another one, so that one is always in progress while any more may start.
            co_await eventually([&] { return mine == 40 || started.size() > mine; }, 100ms);
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, copying(overlaps), {.max_in_flight = 2});

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 40; }));

        EXPECT_GE(committed_before_the_last, 1U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, AHandlerThatFailsEndsTheLoopAndTheRecordsOfItsTransactionAreReadAgain) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor([](auto& settings) { settings.commit_interval = 50s; });
        Loop loop;
        auto fails = [this](std::string value) -> asio::awaitable<Result<void>> {
            if (value != "5" || started["5"] > 1) co_return Result<void>{};
            co_await eventually([&] { return started.size() == 8; });
            co_return Error{Errc::operation_failed, "five"};
        };
        start(copier, loop, copying(fails));
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_EQ(loop.ended->error().detail(), "five");
        EXPECT_EQ(copier.get_stats().committed, 0U);

        Loop second;
        start(copier, second, copying(fails));
        const auto is_again = [](const auto& each) { return each.second == 2; };
        EXPECT_TRUE(co_await eventually([&] { return std::ranges::all_of(started, is_again); }));
        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return second.ended.has_value(); }));

        EXPECT_EQ(copier.get_stats().records, 8U);
        EXPECT_EQ(copier.get_stats().aborted, 1U);
        for (const auto& [value, times] : started) EXPECT_EQ(times, 2) << value;
        EXPECT_EQ(committed(copier), 8);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, AnExceptionOfAHandlerIsAFailure) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor();
        Loop loop;
        start(copier, loop, [](const ConsumedRecord&, Transaction&) -> asio::awaitable<void> {
            throw std::runtime_error{"thrown"};
            co_return;
        });

        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_THROW(loop.ended->value(), std::runtime_error);
        EXPECT_EQ(committed(copier), 0);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, ATransactionThatMustBeAbortedIsTriedAgain) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 8; }));

        EXPECT_FALSE(loop.ended);
        EXPECT_GE(copier.get_stats().aborted, 1U);
        EXPECT_EQ(copier.get_stats().reopened, 0U);
        EXPECT_EQ(committed(copier), 8);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, WhatPassesIsTriedAgainWithoutAnAbort) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        answer_next(end_transaction,
                    {RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 8; }));

        EXPECT_EQ(copier.get_stats().aborted, 0U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, AClientThatIsBrokenIsReplaced) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        answer_next(add_partitions, {RD_KAFKA_RESP_ERR_INVALID_TXN_STATE});
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 8; }));

        EXPECT_FALSE(loop.ended);
        EXPECT_EQ(copier.get_stats().reopened, 1U);
        EXPECT_EQ(committed(copier), 8);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, AProducerThatIsFencedEndsTheLoopAndSaysSo) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        answer_next(end_transaction, {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH});
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_EQ(loop.ended->error(), Errc::producer_fenced) << loop.ended->error();
        EXPECT_EQ(loop.ended->error(), ErrorType::fatal);
        EXPECT_NE(loop.ended->error().detail().find("copier-1"), std::string_view::npos) << loop.ended->error();
        EXPECT_EQ(committed(copier), 0);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, AnOutputThatABrokerRefusesEndsTheLoop) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor();
        answer_next(produce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
        Loop loop;
        start(copier, loop, copying());

        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_EQ(loop.ended->error(), KafkaErrc::message_too_large) << loop.ended->error();
        EXPECT_NE(loop.ended->error().detail().find("out"), std::string_view::npos) << loop.ended->error();
        EXPECT_EQ(committed(copier), 0);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, AnOutputThatTheClientRefusesLeavesTheTransactionAsItIs) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor();
        std::optional<Error> refusal;
        auto sends_too_much = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            const Record large{"out", std::nullopt, std::string(2'000'000, 'x')};
            auto sending = transaction.send(large);
            const auto sent = co_await std::move(sending);
            if (!sent) refusal = sent.error();
            const auto copied = copy_of(record);
            auto copying_it = transaction.send(copied);
            const auto is_copied = co_await std::move(copying_it);
            EXPECT_TRUE(is_copied);
        };
        Loop loop;
        start(copier, loop, sends_too_much);

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 1; }));

        EXPECT_EQ(refusal, KafkaErrc::message_too_large);
        EXPECT_EQ(copier.get_stats().aborted, 0U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, TheCommitWaitsForWhatAHandlerDidNotWaitFor) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        int acknowledged = 0;
        std::uint64_t acknowledged_before_the_commit = 0;
        auto throws_over = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            transaction.async_send(copy_of(record), [&](const Result<Delivery>& sent) {
                if (sent) ++acknowledged;
                if (copier.get_stats().records == 0) ++acknowledged_before_the_commit;
            });
            co_return;
        };
        Loop loop;
        start(copier, loop, throws_over);

        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 8; }));

        EXPECT_EQ(acknowledged, 8);
        EXPECT_GE(acknowledged_before_the_commit, 1U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, DeadLettersAreWrittenInTheTransactionAndNowhereElse) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(2);
        auto copier = processor();
        DeadLetterQueue letters{{.topic = "dead", .max_retries = 0}, DeadLetterTopic{copier}, {.group = "g"}};
        auto buries = [&](const ConsumedRecord& record, Transaction&) -> asio::awaitable<Result<void>> {
            auto sending = letters.send_to_dlq(record, Error{Errc::operation_failed});
            const auto stored = co_await std::move(sending);
            if (!stored) co_return stored.error();
            EXPECT_GE(stored->offset, 0);
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, buries);
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 2; }));

        const Record stray{"t", std::nullopt, "stray"};
        auto sending = letters.send_to_dlq(stray, Error{Errc::operation_failed});
        const auto outside = co_await std::move(sending);

        EXPECT_EQ(outside.error(), Errc::dead_letter_lost);
        EXPECT_NE(outside.error().message().find("no transaction is open"), std::string::npos) << outside.error();
        EXPECT_EQ(letters.get_stats().sent, 2U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceTest, PartitionsAreKeptUntilTheirTransactionIsCommitted) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto first = processor([](auto& settings) { settings.commit_interval = 50s; });
        WaitQueue held;
        bool is_held = true;
        auto holds = [&](std::string) -> asio::awaitable<Result<void>> {
            const auto goes_on = [&]() noexcept { return !is_held; };
            auto waiting = held.async_wait_unless(goes_on, asio::use_awaitable);
            co_await std::move(waiting);
            co_return Result<void>{};
        };
        Loop loop;
        start(first, loop, copying(holds));
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 8; }));

        auto second = processor([](auto& settings) { settings.transactional_id = "copier-2"; });
        Loop other;
        start(second, other, copying());
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().reading.rebalances == 2; })); // asked back
        EXPECT_EQ(first.assignment().size(), 4U);
        is_held = false;
        held.wake_all();
        EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));

        EXPECT_GE(first.get_stats().records, 8U)
            << "more where it reads again: the mock keeps no transaction's offsets";
        EXPECT_EQ(first.get_stats().aborted, 0U);
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ExactlyOnceTest, OneLoopAtATimeWithRoomForAHandler) {
    auto copier = processor();
    auto first = copier.for_each({}, copying());

    EXPECT_THROW(static_cast<void>(copier.for_each({}, copying())), std::invalid_argument);
    {
        const auto gone = std::move(first);
    }
    EXPECT_THROW(static_cast<void>(copier.for_each({.max_in_flight = 0}, copying())), std::invalid_argument);
    EXPECT_NO_THROW(static_cast<void>(copier.for_each({}, copying())));
}

TEST_F(ExactlyOnceTest, BytesInFlightAreChargedAndGivenBack) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        const MemoryAccount root{"process", 1 << 20};
        auto copier = ExactlyOnceProcessor{io.get_executor(), config(), root};
        std::size_t most = 0;
        Loop loop;
        start(copier, loop,
              [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
                  const auto copied = copy_of(record);
                  auto sending = transaction.send(copied);
                  most = std::max<std::size_t>(most, root.used());
                  co_await std::move(sending);
              },
              {.memory = root});
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 8; }));
        EXPECT_GT(most, 0U);
        co_await copier.close();
        EXPECT_EQ(root.used(), 0U);
    });
}

} // namespace
} // namespace velostream::kafka
