// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "kafka_retry_topics_fixture.hpp"

namespace velostream::kafka {
namespace {

TEST_F(RetryTopicsTest, AFailedRecordGoesToItsRetryTopicByteForByteAndIsDone) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(much_later);
        Record record{"t", "k\0ey"s, ""};
        record.headers = {{"trace", "1"}, {"empty", ""}, {"trace", std::nullopt}};
        record.timestamp = WallTime{1'600'000'000'000ms};
        record.partition = 2;
        const std::vector<Record> records{record};
        co_await write_all(io.get_executor(), cluster.bootstrap_servers(), records);
        fail("", 1);

        const auto done = co_await process(retry, 1);

        EXPECT_TRUE(done) << done.error();
        EXPECT_EQ(retry.get_stats().published, 1U);
        const auto log = log_of(retry_topic(much_later));
        EXPECT_EQ(log.size(), 1U);
        if (log.size() != 1) co_return;
        const auto& published = log.front().record;
        EXPECT_EQ(published.key, record.key);
        EXPECT_EQ(published.value, record.value);
        EXPECT_GT(published.headers.size(), 3U);
        EXPECT_TRUE(std::equal(record.headers.begin(), record.headers.end(), published.headers.begin()));
        EXPECT_EQ(header(published, "kafka_original-topic"), "t");
        EXPECT_EQ(header(published, "kafka_original-partition"), "\0\0\0\2"sv);
        EXPECT_EQ(header(published, "kafka_original-offset"), "\0\0\0\0\0\0\0\0"sv);
        EXPECT_EQ(header(published, "kafka_original-timestamp"), "\x00\x00\x01\x74\x87\x6E\x80\x00"sv);
        EXPECT_EQ(header(published, "kafka_original-timestamp-type"), "CreateTime");
        EXPECT_EQ(header(published, "kafka_dlt-original-consumer-group"), "g");
        EXPECT_EQ(header(published, "kafka_exception-fqcn"), "velostream:25");
        EXPECT_NE(header(published, "kafka_exception-stacktrace"), "<absent>");
        EXPECT_EQ(header(published, "retry_topic-attempts"), "\0\0\0\2"sv);
        EXPECT_EQ(header(published, "retry_topic-original-timestamp"), "\x01\x74\x87\x6E\x80\x00"sv);
        EXPECT_GT(published.timestamp, record.timestamp) << "retention counts from it";
    });
}

TEST_F(RetryTopicsTest, RecordsOfOneKeyGoToOnePartition) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(much_later);
        std::vector<Record> records;
        for (int i = 0; i < 12; ++i) records.push_back(keyed("key" + std::to_string(i % 3), std::to_string(i)));
        for (int i = 0; i < 12; ++i) fail(std::to_string(i), 1);
        co_await write_all(io.get_executor(), cluster.bootstrap_servers(), records);

        const auto done = co_await process(retry, 12);

        EXPECT_TRUE(done) << done.error();
        std::map<std::string, std::set<std::int32_t>> of_key;
        for (const auto& logged : log_of(retry_topic(much_later)))
            of_key[*logged.record.key].insert(*logged.record.partition);
        EXPECT_EQ(of_key.size(), 3U);
        for (const auto& [key, where] : of_key) EXPECT_EQ(where.size(), 1U) << key;
    });
}

TEST_F(RetryTopicsTest, ARecordThatSucceedsAgainIsDone) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once);
        co_await write(4);
        for (const auto* value : {"1", "2"}) fail(value, 2);
        start(retry);

        const auto done = co_await process(retry, 4);

        EXPECT_TRUE(done) << done.error();
        EXPECT_TRUE(co_await eventually([&] { return retry.get_stats().processed_again == 4; }));
        co_await end(retry);
        EXPECT_EQ(retry.get_stats().published, 4U);
        EXPECT_EQ(retry.get_stats().waiting, 0U);
        EXPECT_TRUE(letters.letters().empty());
        EXPECT_EQ(std::ranges::count(attempts, 1U), 4);
        EXPECT_EQ(std::ranges::count(attempts, 2U), 2);
        EXPECT_EQ(std::ranges::count(attempts, 3U), 2);
    });
}

TEST_F(RetryTopicsTest, WhatFailsInEveryTryIsADeadLetterThatNamesItsFirstPlace) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once, 2);
        Record record{"t", "key", "x"};
        record.headers = {{"tenant", "7"}};
        record.timestamp = WallTime{1'600'000'000'000ms};
        record.partition = 3;
        const std::vector<Record> records{keyed("other", "y"), record};
        co_await write_all(io.get_executor(), cluster.bootstrap_servers(), records);
        fail("x", 99);
        start(retry);

        const auto done = co_await process(retry, 2);

        EXPECT_TRUE(done) << done.error();
        EXPECT_TRUE(co_await eventually([&] { return letters.letters().size() == 1; }));
        co_await end(retry);
        EXPECT_EQ(retry.get_stats().dead_letters, 1U);
        EXPECT_EQ(retry.get_stats().published, 2U);
        const auto letter = letters.letters().front();
        EXPECT_EQ(letter.key, "key");
        EXPECT_EQ(letter.value, "x");
        EXPECT_EQ(letter.source_partition, 3);
        EXPECT_EQ(letter.header("tenant"), "7");
        EXPECT_EQ(letter.header("__connect.errors.topic"), "t");
        EXPECT_EQ(letter.header("__connect.errors.partition"), "3");
        EXPECT_EQ(letter.header("x-dlq-id"), "t/3/0/g/");
        EXPECT_EQ(letter.header("x-dlq-original-timestamp"), "1600000000000");
        EXPECT_EQ(letter.header("x-dlq-original-timestamp-type"), "CreateTime");
        EXPECT_EQ(letter.header("x-dlq-attempts"), "3");
        EXPECT_TRUE(letter.header("x-dlq-first-failure-ms"));
        for (const auto& [name, value] : letter.headers) {
            EXPECT_FALSE(name.starts_with("kafka_")) << name;
            EXPECT_FALSE(name.starts_with("retry_topic-")) << name;
        }
    });
}

TEST_F(RetryTopicsTest, WhatAnotherTryCannotMendIsADeadLetterAtOnce) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once);
        failure = make_error_code(boost::system::errc::invalid_argument);
        fail("0", 1);
        co_await write(1);

        const auto done = co_await process(retry, 1);

        EXPECT_TRUE(done) << done.error();
        EXPECT_EQ(retry.get_stats().published, 0U);
        EXPECT_EQ(letters.letters().size(), 1U);
    });
}

TEST_F(RetryTopicsTest, WhatTheQueueRefusesIsHeld) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once);
        failure = Errc::circuit_open;
        fail("0", 1);
        co_await write(1);

        const auto done = co_await process(retry, 1);

        EXPECT_EQ(done.error(), Errc::record_not_to_blame) << done.error();
        EXPECT_EQ(retry.get_stats().published, 0U);
        EXPECT_TRUE(letters.letters().empty());
    });
}

TEST_F(RetryTopicsTest, WhatMayHaveHappenedIsTriedAgainOnlyIfItMayHappenTwice) {
    run(io, [&]() -> asio::awaitable<void> {
        auto once = retries(much_later);
        Retries idempotent{producer, source, queue, reprocess(much_later), Operation{this}, {.idempotent = true}};
        failure = Errc::send_outcome_unknown;
        fail("0", 2);
        co_await write(1);
        Consumer consumer{io.get_executor(), config()};
        const auto batch = co_await consumer.next_batch(1);
        EXPECT_TRUE(batch && batch->size() == 1);
        if (!batch || batch->size() != 1) co_return;

        const auto buried = co_await once.process(batch->front());
        const auto published = co_await idempotent.process(batch->front());

        EXPECT_TRUE(buried && published);
        EXPECT_EQ(once.get_stats().dead_letters, 1U);
        EXPECT_EQ(once.get_stats().published, 0U);
        EXPECT_EQ(idempotent.get_stats().dead_letters, 0U);
        EXPECT_EQ(idempotent.get_stats().published, 1U);
        co_await consumer.close();
    });
}

TEST_F(RetryTopicsTest, WhatWasPublishedBeforeItsReaderCameIsReadWhereverTheSourceBegins) {
    run(io, [&]() -> asio::awaitable<void> {
        source.offset_reset = OffsetReset::latest;
        auto retry = retries(at_once);
        std::vector<Record> records{keyed("a", "x")};
        co_await write_to(retry_topic(at_once), records);

        start(retry);

        EXPECT_TRUE(co_await eventually([&] { return tried.size() == 1; }));
        co_await end(retry);
    });
}

TEST_F(RetryTopicsTest, NothingIsProcessedBeforeItsTime) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once);
        std::vector<Record> records;
        const auto begin = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
        std::map<std::string, WallTime> due;
        for (int i = 0; i < 6; ++i) {
            const std::string value{std::to_string(i)};
            due[value] = begin + i * 40ms;
            auto made = make_retry_record({.topic = "t", .partition = 0, .offset = i}, {}, failure,
                                          {.topic = "", .now = begin, .due = due[value]});
            records.emplace_back("", std::nullopt, value);
            records.back().partition = i % 2;
            for (const auto& each : made.record().headers)
                records.back().headers.emplace_back(std::string{each.name}, std::string{each.value.value_or("")});
        }
        co_await write_to(retry_topic(at_once), records);
        std::vector<std::pair<std::string, WallTime>> started;
        auto note_time = [&](const ConsumedRecord& record) -> asio::awaitable<void> {
            started.emplace_back(*record.value(),
                                 std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()));
            co_return;
        };
        RetryTopics timed{producer, config(), queue, reprocess(at_once), note_time};
        asio::co_spawn(io, timed.run(), [&](std::exception_ptr, Result<void> result) { ended = std::move(result); });

        EXPECT_TRUE(co_await eventually([&] { return started.size() == 6; }));
        for (const auto& [value, when] : started) EXPECT_GE(when, due[value]) << value;
        timed.stop();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await timed.close();
    });
}

TEST_F(RetryTopicsTest, WaitingHoldsUpNoRecordOfTheSource) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(much_later);
        co_await write(20);
        for (int i = 0; i < 10; ++i) fail(std::to_string(i), 1);
        start(retry, {.max_in_flight = 4});

        const auto done = co_await process(retry, 20);

        EXPECT_TRUE(done) << done.error();
        EXPECT_TRUE(co_await eventually([&] { return retry.get_stats().waiting == 4; }));
        EXPECT_EQ(retry.get_stats().published, 10U);
        EXPECT_EQ(retry.get_stats().processed_again, 0U);
        EXPECT_EQ(tried.size(), 20U);
        co_await end(retry);
        EXPECT_EQ(retry.get_stats().waiting, 0U);
    });
}

TEST_F(RetryTopicsTest, WhatWaitsWhenItStopsIsLeftToWhoeverReadsOn) {
    run(io, [&]() -> asio::awaitable<void> {
        source = in_changing_group(config());
        for (int i = 0; i < 5; ++i) fail(std::to_string(i), 1);
        co_await write(5);
        {
            auto retry = retries(much_later);
            start(retry);
            const auto done = co_await process(retry, 5);
            EXPECT_TRUE(done) << done.error();
            EXPECT_TRUE(co_await eventually([&] { return retry.get_stats().waiting == 5; }));
            co_await end(retry);
            EXPECT_EQ(retry.get_stats().processed_again, 0U);
        }
        ended.reset();
        Retries next{producer, source, queue, reprocess(much_later), Operation{this}};
        start(next);

        EXPECT_TRUE(co_await eventually([&] { return next.get_stats().waiting == 5; }));

        co_await end(next);
    });
}

TEST_F(RetryTopicsTest, RecordsOfAPartitionAreStartedInItsOrder) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once);
        std::vector<std::string> all;
        std::vector<Record> records;
        for (int i = 0; i < 60; ++i) {
            records.push_back(keyed(std::to_string(i), std::to_string(i)));
            records.back().partition = 1;
            all.push_back(retry_topic(at_once) + ": " + std::to_string(i));
        }
        co_await write_to(retry_topic(at_once), records);

        start(retry);

        EXPECT_TRUE(co_await eventually([&] { return tried.size() == 60; }));
        EXPECT_EQ(tried, all);
        co_await end(retry);
    });
}

TEST_F(RetryTopicsTest, RecordsOfAKeyAreProcessedOneAfterTheOtherAndOthersGoOn) {
    run(io, [&]() -> asio::awaitable<void> {
        cluster.create_topic(retry_topic(at_once), partitions).value();
        std::vector<Record> records{keyed("Ann", "1"), keyed("Ann", "2"), keyed("Bob", "3"), keyed("Ann", "4")};
        for (auto& record : records) record.partition = 0;
        co_await write_to(retry_topic(at_once), records);
        std::vector<std::string> seen;
        bool is_held = true;
        auto slow_for_first = [&](const ConsumedRecord& record) -> asio::awaitable<void> {
            seen.emplace_back(*record.value());
            if (*record.value() != "1") co_return;
            auto waiting = eventually([&] { return !is_held; });
            co_await std::move(waiting);
            seen.emplace_back("1 done");
        };
        RetryTopics retry{producer, config(), queue, reprocess(at_once), slow_for_first};
        asio::co_spawn(io, retry.run(), [&](std::exception_ptr, Result<void> result) { ended = std::move(result); });

        EXPECT_TRUE(co_await eventually([&] { return seen.size() == 2; }));
        EXPECT_EQ(seen, (std::vector<std::string>{"1", "3"}));
        is_held = false;
        EXPECT_TRUE(co_await eventually([&] { return seen.size() == 5; }));
        EXPECT_EQ(seen, (std::vector<std::string>{"1", "3", "1 done", "2", "4"}));
        retry.stop();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await retry.close();
    });
}

// Byte for byte what Spring writes to a retry topic for a listener that threw for the first time.
Headers headers_of_spring() {
    return {{"tenant", "7"},
            {"kafka_original-topic", "orders"},
            {"kafka_original-partition", std::string{"\0\0\0\3"sv}},
            {"kafka_original-offset", std::string{"\x00\x00\x00\x1C\xBE\x99\x1A\x14"sv}},
            {"kafka_original-timestamp", std::string{"\x00\x00\x01\x74\x87\x6E\x80\x00"sv}},
            {"kafka_original-timestamp-type", "CreateTime"},
            {"kafka_dlt-original-consumer-group", "billing"},
            {"kafka_exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"},
            {"kafka_exception-cause-fqcn", "java.lang.IllegalStateException"},
            {"kafka_exception-message", "Listener failed"},
            {"kafka_exception-stacktrace", "org.springframework…\n"},
            {"retry_topic-attempts", std::string{"\0\0\0\2"sv}},
            {"retry_topic-original-timestamp", std::string{"\x01\x74\x87\x6E\x80\x00"sv}},
            {"retry_topic-backoff-timestamp", std::string{"\x01\x8B\xCF\xE5\x68\x00"sv}}};
}

TEST_F(RetryTopicsTest, WhatSpringPublishedIsTakenOver) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(at_once, 2);
        std::vector<Record> records{keyed("key", "x")};
        records.front().headers = headers_of_spring();
        co_await write_to(retry_topic(at_once), records);
        fail("x", 99);

        start(retry);

        EXPECT_TRUE(co_await eventually([&] { return letters.letters().size() == 1; }));
        co_await end(retry);
        EXPECT_EQ(attempts, (std::vector<std::uint32_t>{2, 3}));
        const auto letter = letters.letters().front();
        EXPECT_EQ(letter.header("tenant"), "7");
        EXPECT_EQ(letter.header("__connect.errors.topic"), "orders");
        EXPECT_EQ(letter.header("__connect.errors.partition"), "3");
        EXPECT_EQ(letter.header("__connect.errors.offset"), "123456789012");
        EXPECT_EQ(letter.header("x-dlq-original-timestamp"), "1600000000000");
        EXPECT_EQ(letter.header("x-dlq-attempts"), "3");
        const auto again = log_of(retry_topic(at_once));
        EXPECT_EQ(again.size(), 2U);
        std::set<std::string> groups;
        for (const auto& logged : again) groups.insert(header(logged.record, "kafka_dlt-original-consumer-group"));
        EXPECT_EQ(groups, std::set<std::string>{"billing"});
    });
}

TEST_F(RetryTopicsTest, WhatSomebodyElseWroteThereIsAFirstAttemptAtOnce) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(much_later, 1);
        std::vector<Record> records{keyed("a", "plain"), keyed("b", "damaged")};
        records.back().headers = {{"retry_topic-attempts", "many"}, // a number that nobody has counted to
                                  {"retry_topic-backoff-timestamp", std::string(9, '\1')},
                                  {"kafka_original-partition", "x"}};
        co_await write_to(retry_topic(much_later), records);
        for (const auto* value : {"plain", "damaged"}) fail(value, 1);

        start(retry);

        EXPECT_TRUE(co_await eventually([&] { return retry.get_stats().published == 2; }));
        co_await end(retry);
        EXPECT_EQ(attempts, (std::vector<std::uint32_t>{1, 1}));
        std::size_t published = 0;
        for (const auto& logged : log_of(retry_topic(much_later))) {
            if (header(logged.record, "kafka_original-topic") == "<absent>") continue;
            ++published;
            EXPECT_EQ(header(logged.record, "kafka_original-topic"), retry_topic(much_later));
            EXPECT_EQ(header(logged.record, "retry_topic-attempts"), "\0\0\0\2"sv);
        }
        EXPECT_EQ(published, 2U);
    });
}

TEST_F(RetryTopicsTest, ATopicThatNobodyCanBeAskedAboutIsNamed) {
    run(io, [&]() -> asio::awaitable<void> {
        const Retries retry{producer, config(), queue, reprocess(much_later), Operation{this}};
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}};
        cluster.all_brokers_down();

        const auto ensured = co_await retry.ensure_topics(admin, 500ms);

        EXPECT_FALSE(ensured);
        EXPECT_NE(ensured.error().detail().find(retry_topic(much_later)), std::string_view::npos) << ensured.error();
        EXPECT_FALSE(ensured.error().blames_record());
    });
}

TEST_F(RetryTopicsTest, ATopicThatIsThereNeedsNobodyWhoMayCreateIt) {
    run(io, [&]() -> asio::awaitable<void> {
        auto retry = retries(much_later);
        const Admin admin{{.bootstrap_servers = cluster.bootstrap_servers()}}; // which has no admin interface

        const auto ensured = co_await retry.ensure_topics(admin, 1s);

        EXPECT_TRUE(ensured) << ensured.error();
    });
}

TEST_F(RetryTopicsTest, HasTheNamesThatSpringGives) {
    Retries retry{producer, config(), queue, reprocess(60s), Operation{this}};
    Retries single{producer, config(), queue, reprocess(60s), Operation{this}, {.suffix = "-retry"}};

    EXPECT_EQ(retry.topics(), std::vector<std::string>{"t-retry-60000"});
    EXPECT_EQ(retry.group(), "g-retry-60000");
    EXPECT_EQ(single.topics(), std::vector<std::string>{"t-retry"});
    EXPECT_EQ(single.group(), "g-retry");
}

TEST_F(RetryTopicsTest, RefusesWhatCannotBe) {
    const auto problem = [&](const ConsumerConfig& from, const ReprocessConfig& how) -> std::string {
        try {
            const Retries retry{producer, from, queue, how, Operation{this}};
        } catch (const std::invalid_argument& refused) {
            return refused.what();
        }
        return "";
    };
    auto pattern = config();
    pattern.topics = {"^t.*"};
    auto both = config();
    both.topics = {"t", "t-retry-60000"};
    auto nobody = config();
    nobody.group_id = "";
    auto endless = config();
    endless.topics = {std::string(245, 't')};

    EXPECT_EQ(problem(config(), reprocess(60s)), "");
    EXPECT_NE(problem(config(), {.mode = Reprocess::parked}).find("RecordProcessor"), std::string::npos);
    EXPECT_NE(problem(config(), reprocess(24h * 7)).find("retention_period"), std::string::npos);
    EXPECT_NE(problem(config(), reprocess(60s, 1U << 24)).find("max_retries"), std::string::npos);
    EXPECT_NE(problem(pattern, reprocess(60s)).find("^t.*"), std::string::npos);
    EXPECT_NE(problem(both, reprocess(60s)).find("t-retry-60000"), std::string::npos);
    EXPECT_NE(problem(nobody, reprocess(0s)).find("group_id"), std::string::npos);
    EXPECT_NE(problem(nobody, reprocess(0s)).find("retry_delay"), std::string::npos);
    EXPECT_NE(problem(endless, reprocess(60s)).find("-retry-60000"), std::string::npos);
}

} // namespace
} // namespace velostream::kafka
