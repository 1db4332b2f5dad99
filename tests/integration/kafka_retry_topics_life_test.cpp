// SPDX-License-Identifier: Apache-2.0
// How retry topics end, and what becomes of records when something fails on the way.
#include "kafka_retry_topics_fixture.hpp"

namespace velostream::kafka {
namespace {

TEST_F(RetryTopicsTest, ARecordWhosePublicationFailsIsHeldAndTheTopicIsNamed) {
    run(io, [&]() -> asio::awaitable<void> {
        source = in_changing_group(config());
        auto retry = retries(much_later);
        co_await write(1);
        fail("0", 2);
        cluster.fail_next_produce_requests({KafkaErrc::topic_authorization_failed});

        const auto held = co_await process(retry, 1);

        EXPECT_EQ(held.error(), KafkaErrc::topic_authorization_failed) << held.error();
        EXPECT_NE(held.error().detail().find(retry_topic(much_later)), std::string_view::npos) << held.error();
        EXPECT_NE(held.error().detail().find("t[0]@0"), std::string_view::npos) << held.error();
        EXPECT_EQ(retry.get_stats().failed_publications, 1U);
        EXPECT_TRUE(letters.letters().empty());

        const auto done = co_await process(retry, 1); // it comes again

        EXPECT_TRUE(done) << done.error();
        EXPECT_EQ(tried.size(), 2U);
        EXPECT_EQ(retry.get_stats().published, 1U);
    });
}

TEST_F(RetryTopicsTest, ARecordThatIsTooLargeForTheRetryTopicIsADeadLetterAtOnce) {
    run(io, [&]() -> asio::awaitable<void> {
        ProducerConfig small{.bootstrap_servers = cluster.bootstrap_servers()};
        small.properties["message.max.bytes"] = "1000";
        Producer limited{io.get_executor(), small};
        cluster.create_topic(retry_topic(much_later), partitions).value();
        Retries retry{limited, config(), queue, reprocess(much_later), Operation{this}};
        const std::string large(990, 'x');
        const std::vector<Record> records{Record{"t", std::nullopt, large}};
        co_await write_all(io.get_executor(), cluster.bootstrap_servers(), records);
        fail(large, 1);

        const auto done = co_await process(retry, 1);

        EXPECT_TRUE(done) << done.error();
        EXPECT_EQ(retry.get_stats().published, 0U);
        EXPECT_EQ(letters.letters().size(), 1U);
        for (const auto& letter : letters.letters()) EXPECT_EQ(letter.value, large);
    });
}

TEST_F(RetryTopicsTest, ARecordOfATopicThatIsNotTheSourcesIsHeld) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(much_later);
        cluster.create_topic("u", 1).value();
        std::vector<Record> records{keyed("a", "x")};
        co_await write_to("u", records);
        fail("x", 1);
        auto others = config();
        others.topics = {"u"};
        Consumer consumer{io.get_executor(), others};
        auto handler = [&](const ConsumedRecord& record) { return retry.process(record); };

        const ForEachOptions options;
        const auto held = co_await consumer.for_each(options, handler);

        EXPECT_EQ(held.error(), Errc::invalid_configuration) << held.error();
        co_await consumer.close();
    });
}

TEST_F(RetryTopicsTest, AFailureOfTheRetryLoopEndsIt) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once, 1);
        std::vector<Record> records{keyed("a", "x")};
        co_await write_to(retry_topic(at_once), records);
        failure = make_error_code(boost::system::errc::invalid_argument);
        fail("x", 1);
        letters.fail_next(Errc::broker_unreachable);

        start(retry);

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::dead_letter_lost) << ended->error();
        co_await retry.close();
    });
}

TEST_F(RetryTopicsTest, AttemptsInProgressEndWellWhenItStops) {
    run(io, [&]() -> asio::awaitable<void> {
        cluster.create_topic(retry_topic(at_once), partitions).value();
        std::vector<Record> records{keyed("a", "x")};
        co_await write_to(retry_topic(at_once), records);
        bool is_running = false, is_released = false, is_done = false;
        auto slow = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            is_running = true;
            auto waiting = eventually([&] { return is_released; });
            co_await std::move(waiting);
            is_done = true;
        };
        RetryTopics retry{producer, config(), queue, reprocess(at_once), slow};
        asio::co_spawn(io, retry.run(), [&](std::exception_ptr, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return is_running; }));

        retry.stop();
        co_await pause_for(20ms);
        EXPECT_FALSE(ended);
        is_released = true;

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(*ended) << ended->error();
        EXPECT_TRUE(is_done);
        co_await retry.close();
    });
}

TEST_F(RetryTopicsTest, AFailureAfterItStoppedIsNotHiddenByRecordsThatWereLeft) {
    run(io, [&]() -> asio::awaitable<void> {
        cluster.create_topic(retry_topic(at_once), partitions).value();
        std::vector<Record> records{keyed("a", "x"), keyed("a", "y")}; // of one key: the second one waits
        for (auto& record : records) record.partition = 0;
        co_await write_to(retry_topic(at_once), records);
        bool is_released = false;
        auto refused = [&](const ConsumedRecord&) -> asio::awaitable<Result<void>> {
            auto waiting = eventually([&] { return is_released; });
            co_await std::move(waiting);
            co_return Error{Errc::circuit_open};
        };
        RetryTopics retry{producer, config(), queue, reprocess(at_once), refused};
        asio::co_spawn(io, retry.run(), [&](std::exception_ptr, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return retry.get_stats().waiting == 1; }));

        retry.stop();
        is_released = true;

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::record_not_to_blame);
        co_await retry.close();
    });
}

TEST_F(RetryTopicsTest, WhatStoppedBeforeItRanHasNothingToRead) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once);
        retry.stop();
        const auto read = co_await retry.run();
        EXPECT_TRUE(read) << read.error();
        co_await retry.close();
    });
}

TEST_F(RetryTopicsTest, CancellationEndsEveryWaitAndLosesNothing) {
    run(io, [&]() -> asio::awaitable<void> {
        source = in_changing_group(config());
        for (int i = 0; i < 3; ++i) fail(std::to_string(i), 1);
        co_await write(3);
        {
            auto retry = retries(much_later);
            start(retry);
            const auto done = co_await process(retry, 3);
            EXPECT_TRUE(done) << done.error();
            EXPECT_TRUE(co_await eventually([&] { return retry.get_stats().waiting == 3; }));

            stopping.emit(asio::cancellation_type::terminal);

            EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
            EXPECT_EQ(ended->error(), Errc::cancelled);
            EXPECT_EQ(retry.get_stats().waiting, 0U);
            EXPECT_EQ(retry.get_stats().processed_again, 0U);
            co_await retry.close();
        }
        ended.reset();
        Retries next{producer, source, queue, reprocess(much_later), Operation{this}};
        start(next);
        EXPECT_TRUE(co_await eventually([&] { return next.get_stats().waiting == 3; }));
        co_await end(next);
    });
}

TEST_F(RetryTopicsTest, WhoIsCancelledWhileItIsProcessedOrPublishedHasFailedInNothing) {
    run(io, [&]() -> asio::awaitable<void> {
        cluster.create_topic(retry_topic(much_later), partitions).value();
        co_await write(1);
        bool is_running = false, is_released = false;
        auto slow = [&](const ConsumedRecord&) -> asio::awaitable<Result<void>> {
            is_running = true;
            auto waiting = eventually([&] { return is_released; });
            co_await std::move(waiting);
            co_return failure;
        };
        RetryTopics retry{producer, config(), queue, reprocess(much_later), slow};
        Consumer consumer{io.get_executor(), config()};
        const auto batch = co_await consumer.next_batch(1);
        EXPECT_TRUE(batch && batch->size() == 1);
        if (!batch || batch->size() != 1) co_return;
        const auto& record = batch->front();
        const auto begin = [&] {
            ended.reset();
            is_running = false;
            asio::co_spawn(
                io, retry.process(record),
                asio::bind_cancellation_slot(stopping.slot(), [this](std::exception_ptr thrown, Result<void> result) {
                    ended = thrown ? Error::from_exception(thrown) : std::move(result);
                }));
        };

        begin();
        EXPECT_TRUE(co_await eventually([&] { return is_running; }));
        stopping.emit(asio::cancellation_type::terminal); // in the operation
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::cancelled) << ended->error();

        cluster.all_brokers_down();
        is_released = true;
        begin();
        EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().in_flight == 1; }));
        stopping.emit(asio::cancellation_type::terminal); // in the publication
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::cancelled) << ended->error();

        EXPECT_EQ(retry.get_stats().published, 0U);
        EXPECT_TRUE(letters.letters().empty());
        cluster.all_brokers_up();
        co_await consumer.close();
    });
}

TEST_F(RetryTopicsTest, WhoDestroysItEndsItsLoop) {
    run(io, [&]() -> asio::awaitable<void> {
        fail("0", 1);
        co_await write(1);
        std::optional<Retries> retry{retries(much_later)};
        start(*retry);
        const auto done = co_await process(*retry, 1);
        EXPECT_TRUE(done) << done.error();
        EXPECT_TRUE(co_await eventually([&] { return retry->get_stats().waiting == 1; }));

        retry.reset();

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(*ended) << ended->error();
    });
}

class RetryTopicsContextTest : public RetryTopicsTest {
  protected:
    struct Keeping {
        RetryTopicsTest::Operation inner;
        std::shared_ptr<int> kept;
        asio::awaitable<Result<void>> operator()(const ConsumedRecord& record) const { return inner(record); }
    };
    using Kept = RetryTopics<Queue, Keeping>;

    /// Records wait in `other`, one of them for its turn.
    asio::awaitable<void> fill() {
        cluster.create_topic(retry_topic(much_later), partitions).value();
        std::vector<Record> records;
        for (int i = 0; i < 3; ++i) {
            auto made = make_retry_record(
                {.topic = "t"}, {}, failure,
                {.due = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now() + much_later)});
            records.push_back(keyed("a", std::to_string(i)));
            for (const auto& each : made.record().headers)
                records.back().headers.emplace_back(std::string{each.name}, std::string{each.value.value_or("")});
        }
        co_await write_to(retry_topic(much_later), records);
    }
    asio::awaitable<void> until_all_wait(const Kept& retry) {
        auto waiting = eventually([&] { return retry.get_stats().waiting == 3; });
        EXPECT_TRUE(co_await std::move(waiting));
    }
    std::shared_ptr<int> kept = std::make_shared<int>(0);
};

TEST_F(RetryTopicsContextTest, AContextThatEndsTakesWhatWaitsWithItBeforeTheObjectGoes) {
    {
        std::optional<asio::io_context> other{1};
        run(io, [&]() -> asio::awaitable<void> { co_await fill(); });
        Producer sender{other->get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
        Kept retry{sender, config(), queue, reprocess(much_later), Keeping{Operation{this}, kept}};
        asio::co_spawn(*other, retry.run(), asio::detached);
        run(*other, [&]() -> asio::awaitable<void> { co_await until_all_wait(retry); });

        other.reset();

        EXPECT_EQ(retry.get_stats().waiting, 0U);
    }
    EXPECT_EQ(kept.use_count(), 1);
    EXPECT_TRUE(tried.empty());
}

TEST_F(RetryTopicsContextTest, AContextThatEndsTakesWhatWaitsWithItAfterTheObjectHasGone) {
    {
        asio::io_context other{1};
        run(io, [&]() -> asio::awaitable<void> { co_await fill(); });
        Producer sender{other.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
        Kept retry{sender, config(), queue, reprocess(much_later), Keeping{Operation{this}, kept}};
        asio::co_spawn(other, retry.run(), asio::detached);
        run(other, [&]() -> asio::awaitable<void> { co_await until_all_wait(retry); });
        EXPECT_GT(kept.use_count(), 1);
    }
    EXPECT_EQ(kept.use_count(), 1);
    EXPECT_TRUE(tried.empty());
}

} // namespace
} // namespace velostream::kafka
