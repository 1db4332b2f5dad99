// SPDX-License-Identifier: Apache-2.0
// Records that wait, inside of a transaction, for a service that is down.
#include "kafka_exactly_once_fixture.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"

namespace velostream::kafka {
namespace {

// Records "0" to "7" in four partitions: "0" and "4" are the ones of the first.
class ExactlyOnceHeldTest : public ExactlyOnceTest {
  protected:
    static constexpr auto one_transaction = [](ExactlyOnceConfig& settings) { settings.commit_interval = 50s; };

    // The service that record "0" needs.
    auto asking() {
        return [this](std::string value) -> asio::awaitable<Result<void>> {
            if (value == "0" && is_down) co_return Error{Errc::broker_unreachable};
            co_return Result<void>{};
        };
    }
    // Record "0" is to be tried again in an hour.
    static auto asking_for_patience() {
        return [](std::string value) -> asio::awaitable<Result<void>> {
            if (value == "0") co_return Error{Errc::broker_unreachable}.with_retry_after(1h);
            co_return Result<void>{};
        };
    }
    bool is_held() const { return started.size() == 8 && started.at("0") >= 2; }

    // Makes a dead letter and fails after that, the first time; notes how many transactions were aborted before.
    auto burying_before_it_fails(ExactlyOnceProcessor& copier, DeadLetterQueue<DeadLetterTopic>& letters,
                                 std::vector<std::uint64_t>& written_after) {
        return [&](const ConsumedRecord& record, Transaction&) -> asio::awaitable<Result<void>> {
            auto sending = letters.send_to_dlq(record, Error{Errc::operation_failed});
            const auto stored = co_await std::move(sending);
            if (!stored) co_return stored.error();
            written_after.push_back(copier.get_stats().aborted);
            if (written_after.size() == 1) co_return Error{Errc::broker_unreachable};
            co_return Result<void>{};
        };
    }

    CircuitBreaker<> breaker{"service", {}}; // stays closed
    bool is_down = true;
};

TEST_F(ExactlyOnceHeldTest, AStopCommitsNothingOfATransactionWithARecordThatIsHeld) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor(one_transaction);
        Loop loop;
        start(copier, loop, copying(asking()), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return is_held(); }));

        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_TRUE(*loop.ended) << loop.ended->error();
        co_await copier.close();
        EXPECT_EQ(copier.get_stats().committed, 0U) << "the copy of 4 would be made again with that of 0";
        EXPECT_EQ(copier.get_stats().aborted, 1U);
    });
}

TEST_F(ExactlyOnceHeldTest, WhatAHandlerWroteBeforeItFailedIsNotWrittenTwiceInATransaction) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor(one_transaction);
        std::vector<std::uint64_t> written_after; // so many aborted transactions
        auto writes_first = [&](const ConsumedRecord& record,
                                Transaction& transaction) -> asio::awaitable<Result<void>> {
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            const auto sent = co_await std::move(sending);
            if (!sent) co_return sent.error();
            written_after.push_back(copier.get_stats().aborted);
            if (written_after.size() == 1) co_return Error{Errc::broker_unreachable};
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, writes_first, {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return written_after.size() == 2; }));

        EXPECT_EQ(written_after, (std::vector<std::uint64_t>{0, 1}));
        EXPECT_FALSE(loop.ended);
        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_EQ(copier.get_stats().records, 1U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceHeldTest, ADeadLetterOfARecordThatIsHeldIsNotWrittenTwiceInATransaction) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor(one_transaction);
        DeadLetterQueue letters{{.topic = "dead", .max_retries = 0}, DeadLetterTopic{copier}, {.group = "g"}};
        std::vector<std::uint64_t> written_after;
        Loop loop;
        start(copier, loop, burying_before_it_fails(copier, letters, written_after), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return written_after.size() == 2; }));

        EXPECT_EQ(written_after, (std::vector<std::uint64_t>{0, 1}));
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceHeldTest, ADeadLetterOfADeadLetterIsNotWrittenTwiceInATransactionEither) {
    run(io, [&]() -> asio::awaitable<void> {
        std::vector<Record> records;
        records.emplace_back("t", std::nullopt, "0");
        records.back().headers.emplace_back("x-dlq-id", "elsewhere/0/0/g");
        co_await write_all(io.get_executor(), brokers.bootstrap_servers(), records);
        auto copier = processor(one_transaction);
        DeadLetterQueue letters{{.topic = "dead", .max_retries = 0}, DeadLetterTopic{copier}, {.group = "g"}};
        std::vector<std::uint64_t> written_after;
        Loop loop;
        start(copier, loop, burying_before_it_fails(copier, letters, written_after), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return written_after.size() == 2; }));

        EXPECT_EQ(written_after, (std::vector<std::uint64_t>{0, 1}));
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceHeldTest, WhatWasWrittenInATransactionThatWasAbortedDoesNotCount) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor(one_transaction);
        DeadLetterQueue letters{{.topic = "dead", .max_retries = 0}, DeadLetterTopic{copier}, {.group = "g"}};
        std::vector<std::uint64_t> tried_after; // so many aborted transactions
        auto fails_after_and_before = [&](const ConsumedRecord& record, Transaction&) -> asio::awaitable<Result<void>> {
            tried_after.push_back(copier.get_stats().aborted);
            if (tried_after.size() == 2) co_return Error{Errc::broker_unreachable};
            auto sending = letters.send_to_dlq(record, Error{Errc::operation_failed});
            const auto stored = co_await std::move(sending);
            if (!stored) co_return stored.error();
            if (tried_after.size() == 1) co_return Error{Errc::broker_unreachable};
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, fails_after_and_before, {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return tried_after.size() == 3; }));

        EXPECT_EQ(tried_after, (std::vector<std::uint64_t>{0, 1, 1}));
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceHeldTest, WhatWasWrittenOfAnotherRecordBeforeDoesNotCount) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor(one_transaction);
        auto fails_once = [this](std::string value) -> asio::awaitable<Result<void>> {
            if (value == "4" && started["4"] == 1) co_return Error{Errc::broker_unreachable};
            co_return Result<void>{};
        };
        Loop loop;
        start(copier, loop, copying(fails_once), {.max_in_flight = 1, .gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 8 && started["4"] == 2; }));
        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_TRUE(*loop.ended) << loop.ended->error();
        EXPECT_EQ(copier.get_stats().aborted, 0U);
        EXPECT_EQ(copier.get_stats().records, 8U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceHeldTest, PartitionsThatAreAskedBackDoNotWaitForARecordThatWouldBeHeldThen) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto first = processor(one_transaction);
        WaitQueue calling;
        auto fails_late = [&](std::string value) -> asio::awaitable<Result<void>> {
            if (value == "0" && started["0"] == 1) co_await calling.async_wait(asio::use_awaitable);
            if (value == "0" && is_down) co_return Error{Errc::broker_unreachable};
            co_return Result<void>{};
        };
        Loop loop;
        start(first, loop, copying(fails_late), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 8; }));
        const auto rebalances = first.get_stats().reading.rebalances;

        auto second = processor([](auto& settings) { settings.transactional_id = "copier-2"; });
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().reading.rebalances > rebalances; }));
        calling.wake_all();
        EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));

        EXPECT_EQ(first.get_stats().committed, 0U);
        EXPECT_GE(first.get_stats().aborted, 1U);
        EXPECT_FALSE(loop.ended);
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ExactlyOnceHeldTest, PartitionsThatAreAskedBackDoNotWaitForARecordThatRests) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto first = processor(one_transaction);
        Loop loop;
        start(first, loop, copying(asking_for_patience()), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().reading.held == 1; }));

        auto second = processor([](auto& settings) { settings.transactional_id = "copier-2"; });
        EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));

        EXPECT_EQ(first.get_stats().committed, 0U);
        EXPECT_GE(first.get_stats().aborted, 1U);
        EXPECT_FALSE(loop.ended);
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ExactlyOnceHeldTest, AStopDoesNotWaitForARecordThatRests) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor(one_transaction);
        Loop loop;
        start(copier, loop, copying(asking_for_patience()), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().reading.held == 1; }));

        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_TRUE(*loop.ended) << loop.ended->error();
        EXPECT_EQ(copier.get_stats().committed, 0U);
        co_await copier.close();
    });
}

TEST_F(ExactlyOnceHeldTest, PartitionsThatAreAskedBackDoNotWaitForARecordThatIsHeld) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto first = processor(one_transaction);
        Loop loop;
        start(first, loop, copying(asking()), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return is_held(); }));

        auto second = processor([](auto& settings) { settings.transactional_id = "copier-2"; });
        EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));

        EXPECT_TRUE(is_down);
        EXPECT_EQ(first.get_stats().committed, 0U);
        EXPECT_GE(first.get_stats().aborted, 1U);
        EXPECT_FALSE(loop.ended);
        co_await first.close();
        co_await second.close();
    });
}

TEST_F(ExactlyOnceHeldTest, ATransactionWithARecordThatIsHeldIsAbortedWhenItIsTooOld) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor([](auto& settings) {
            settings.transaction_timeout = 1s;
            settings.producer.delivery_timeout = 1s;
            settings.commit_interval = 900ms;
        });
        Loop loop;
        start(copier, loop, copying(asking()), {.gate = breaker});
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().aborted == 1; }));
        EXPECT_NE(copier.get_stats().last_problem.find("transaction_timeout"), std::string::npos)
            << copier.get_stats().last_problem;

        is_down = false;
        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 8; }));

        EXPECT_FALSE(loop.ended);
        co_await copier.close();
    });
}

} // namespace
} // namespace velostream::kafka
