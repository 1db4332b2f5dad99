// SPDX-License-Identifier: Apache-2.0
// Several clients that are used as one.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>
#include <map>
#include <set>
#include <stdexcept>

#include "kafka_producer_fixture.hpp"
#include "kafka_topic_fixture.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/consumer_pool.hpp"
#include "velostream/kafka/producer_pool.hpp"

namespace velostream::kafka {
namespace {

class ProducerPoolTest : public ProducerTest {
  protected:
    ProducerPool pool(std::size_t size) { return {io.get_executor(), {.producer_pool_size = size}, config()}; }
};

TEST_F(ProducerPoolTest, AKeyAlwaysGoesToTheSameProducerAndKeysAreSpread) {
    auto producers = pool(4);
    std::map<Producer*, int> keys;
    for (int key = 0; key < 1000; ++key) {
        auto& chosen = producers.producer_for(std::to_string(key));
        EXPECT_EQ(&producers.producer_for(std::to_string(key)), &chosen);
        ++keys[&chosen];
    }
    ASSERT_EQ(keys.size(), 4u);
    for (const auto& [producer, count] : keys) EXPECT_NEAR(count, 250, 100);
    EXPECT_NE(&producers.producer_for(""), nullptr) << "an empty key is one";
}

TEST_F(ProducerPoolTest, WithoutAKeyTheyTakeTurns) {
    auto producers = pool(3);
    std::set<Producer*> chosen;
    for (int turn = 0; turn < 3; ++turn) chosen.insert(&producers.producer_for(std::nullopt));
    EXPECT_EQ(chosen.size(), 3u);
}

TEST_F(ProducerPoolTest, RecordsOfAKeyAreWrittenInTheirOrder) {
    run(io, [this]() -> asio::awaitable<void> {
        auto producers = pool(3);
        constexpr int keys = 7, each = 100;
        std::vector<Record> records;
        for (int number = 0; number < each; ++number)
            for (int key = 0; key < keys; ++key) {
                records.emplace_back("t", "key " + std::to_string(key), std::to_string(number));
                records.back().partition = key;
            }
        cluster.create_topic("t", keys).value();
        std::vector<Result<Delivery>> ends(records.size());
        std::size_t ended = 0;
        for (std::size_t index = 0; index < records.size(); ++index)
            producers.async_send(records[index], [&ends, &ended, index](Result<Delivery> end) {
                ends[index] = std::move(end);
                ++ended;
            });
        EXPECT_TRUE(co_await eventually([&] { return ended == ends.size(); }));

        for (std::size_t index = 0; index < records.size(); ++index) {
            EXPECT_TRUE(ends[index]) << ends[index].error();
            EXPECT_EQ(ends[index]->offset, static_cast<std::int64_t>(index) / keys);
        }
        EXPECT_EQ(producers.get_stats().sent, records.size());
        EXPECT_EQ(producers.get_stats().in_flight, 0u);
        co_await producers.close();
        const auto refused = co_await producers.send(records.front());
        EXPECT_EQ(refused.error(), Errc::producer_closed);
    });
}

TEST_F(ProducerPoolTest, TheLimitsAreThoseOfThePool) {
    run(io, [this]() -> asio::awaitable<void> {
        auto settings = config();
        settings.max_in_flight = 5;
        settings.linger = 200ms;
        ProducerPool producers{io.get_executor(), {.producer_pool_size = 2}, settings};
        std::size_t ended = 0;
        const Record record{"t", std::nullopt, "v"};
        for (int sends = 0; sends < 20; ++sends) producers.async_send(record, [&ended](const auto&) { ++ended; });
        EXPECT_EQ(producers.get_stats().in_flight, 6u) << "each has the next whole share";
        EXPECT_EQ(producers.get_stats().waiting, 14u);
        EXPECT_TRUE(co_await eventually([&] { return ended == 20; }));
        co_await producers.close();
    });
}

TEST_F(ProducerPoolTest, TheBytesInFlightAreThoseOfThePool) {
    run(io, [this]() -> asio::awaitable<void> {
        auto settings = config();
        settings.max_in_flight_bytes = 10'000;
        settings.linger = 200ms;
        ProducerPool producers{io.get_executor(), {.producer_pool_size = 2}, settings};
        std::size_t ended = 0;
        const Record record{"t", std::nullopt, std::string(2000, 'v')};
        for (int sends = 0; sends < 10; ++sends) producers.async_send(record, [&ended](const auto&) { ++ended; });
        EXPECT_LE(producers.get_stats().in_flight_bytes, 10'000u);
        EXPECT_EQ(producers.get_stats().in_flight, 4u) << "two fit into each half";
        EXPECT_TRUE(co_await eventually([&] { return ended == 10; }));
        co_await producers.close();
    });
}

TEST_F(ProducerPoolTest, RecordsThatAreSentAgainAreThoseOfAll) {
    cluster.create_topic("t", 1).value();
    run(io, [this]() -> asio::awaitable<void> {
        auto producers = pool(2);
        const Record record{"t", std::nullopt, "v"};
        for (int turn = 0; turn < 2; ++turn) { // each of them
            cluster.fail_next_produce_requests(
                {KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_MSG}, KafkaErrc{RD_KAFKA_RESP_ERR_INVALID_RECORD}});
            const auto sent = co_await producers.send(record);
            EXPECT_TRUE(sent) << sent.error();
        }

        EXPECT_EQ(producers.get_stats().sent_again, 2U);
        EXPECT_EQ(producers.get_stats().sent_alone, 2U);
        co_await producers.close();
    });
}

TEST_F(ProducerPoolTest, ConnectSaysWhetherTheClusterAnswers) {
    run(io, [this]() -> asio::awaitable<void> {
        auto producers = pool(2);
        const auto reached = co_await producers.connect();
        EXPECT_TRUE(reached) << reached.error();

        auto nobody = config();
        nobody.bootstrap_servers = "127.0.0.1:1";
        const ProducerPool lonely{
            io.get_executor(), {.connection_retry_attempts = 2, .connection_backoff = 100ms}, nobody};
        const auto began = now();
        const auto failed = co_await lonely.connect(300ms);
        EXPECT_FALSE(failed);
        EXPECT_EQ(failed.error(), Errc::broker_unreachable);
        EXPECT_EQ(failed.error().attempts(), 3u);
        EXPECT_GE(now() - began, 3 * 300ms + 2 * 100ms);
        co_await producers.close();
    });
}

TEST_F(ProducerPoolTest, AnIllegalConfigIsRefusedWithEveryProblem) {
    auto settings = config();
    settings.delivery_timeout = 0ms;
    try {
        const ProducerPool producers{io.get_executor(), {.producer_pool_size = 0}, settings};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        const std::string text = problem.what();
        EXPECT_NE(text.find("producer_pool_size = 0"), std::string::npos) << text;
        EXPECT_NE(text.find("delivery_timeout"), std::string::npos) << text;
    }
}

class ConsumerPoolTest : public TopicTest {
  protected:
    ConsumerPool pool(std::size_t size) {
        auto settings = in_changing_group(config());
        settings.report_ends = true;
        return {io.get_executor(), {.consumer_pool_size = size}, settings};
    }
};

TEST_F(ConsumerPoolTest, TheMembersShareThePartitionsAndAllIsReadOnce) {
    run(io, [this]() -> asio::awaitable<void> {
        auto consumers = pool(2);
        std::multiset<std::string> seen;
        bool is_over = false;
        auto handler = [&seen](const ConsumedRecord& record) -> asio::awaitable<void> {
            seen.emplace(*record.value());
            co_return;
        };
        asio::co_spawn(io, consumers.for_each({}, handler), [&](std::exception_ptr, Result<void> result) {
            EXPECT_TRUE(result);
            is_over = true;
        });
        EXPECT_TRUE(co_await eventually(
            [&] { return consumers[0].assignment().size() == 2 && consumers[1].assignment().size() == 2; }, 40s));
        EXPECT_EQ(consumers.assignment().size(), 4u);
        co_await write(400);
        EXPECT_TRUE(co_await eventually([&] { return seen.size() >= 400; }));
        EXPECT_TRUE(co_await eventually([&] { return consumers.end_reached(); }));
        EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), 400u);
        EXPECT_EQ(consumers.get_stats().done, seen.size());

        consumers.stop();
        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        co_await consumers.close();
    });
}

TEST_F(ConsumerPoolTest, TheFirstFailureEndsTheLoopsOfAll) {
    run(io, [this]() -> asio::awaitable<void> {
        auto consumers = pool(2);
        co_await write(8);
        auto handler = [](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            if (record.value() == "5") co_return Error{Errc::operation_failed, "five"};
            co_return Result<void>{};
        };
        auto looping = consumers.for_each({}, handler);
        const auto ended = co_await std::move(looping);
        EXPECT_FALSE(ended);
        EXPECT_EQ(ended.error(), Errc::operation_failed);

        auto nothing_more = consumers.for_each({}, handler);
        const auto stopped = co_await std::move(nothing_more);
        EXPECT_TRUE(stopped) << "as after a stop";
        co_await consumers.close();
    });
}

TEST_F(ConsumerPoolTest, TheRecordsInProgressAreThoseOfThePool) {
    run(io, [this]() -> asio::awaitable<void> {
        auto consumers = pool(2);
        asio::steady_timer held{io, asio::steady_timer::time_point::max()};
        std::size_t begun = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            ++begun;
            boost::system::error_code code;
            auto token = asio::redirect_error(asio::use_awaitable, code);
            co_await held.async_wait(token);
        };
        bool is_over = false;
        asio::co_spawn(io, consumers.for_each({.max_in_flight = 5}, handler),
                       [&](std::exception_ptr, Result<void> result) {
                           EXPECT_TRUE(result);
                           is_over = true;
                       });
        EXPECT_TRUE(co_await eventually(
            [&] { return consumers[0].assignment().size() == 2 && consumers[1].assignment().size() == 2; }, 40s));
        co_await write(80);
        EXPECT_TRUE(co_await eventually([&] { return begun == 6; }));
        co_await pause_for(200ms);
        EXPECT_EQ(begun, 6u) << "each has the next whole share";

        consumers.stop();
        held.cancel();
        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        EXPECT_EQ(begun, 6u);
        co_await consumers.close();
    });
}

TEST_F(ConsumerPoolTest, ACancelledLoopCancelsItsHandlersAndWaitsForThem) {
    run(io, [this]() -> asio::awaitable<void> {
        auto consumers = pool(2);
        co_await write(4);
        int begun = 0, ended = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            ++begun;
            co_await asio::this_coro::throw_if_cancelled(false);
            asio::steady_timer never{co_await asio::this_coro::executor, asio::steady_timer::time_point::max()};
            boost::system::error_code code;
            auto token = asio::redirect_error(asio::use_awaitable, code);
            co_await never.async_wait(token);
            ++ended;
        };
        std::optional<Result<void>> end;
        asio::cancellation_signal cancel;
        asio::co_spawn(io, consumers.for_each({}, handler),
                       asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr, Result<void> result) {
                           EXPECT_EQ(begun, ended);
                           end = std::move(result);
                       }));
        EXPECT_TRUE(co_await eventually([&] { return begun >= 2; }));
        EXPECT_FALSE(end);

        cancel.emit(asio::cancellation_type::terminal);

        EXPECT_TRUE(co_await eventually([&] { return end.has_value(); }));
        EXPECT_EQ(end->error(), Errc::cancelled);
        co_await consumers.close();
    });
}

TEST_F(ConsumerPoolTest, PausedMembersGiveOutNothing) {
    run(io, [this]() -> asio::awaitable<void> {
        auto consumers = pool(2);
        consumers.pause();
        co_await write(8);
        int seen = 0;
        auto handler = [&seen](const ConsumedRecord&) -> asio::awaitable<void> {
            ++seen;
            co_return;
        };
        bool is_over = false;
        asio::co_spawn(io, consumers.for_each({}, handler), [&](std::exception_ptr, Result<void>) { is_over = true; });
        EXPECT_TRUE(co_await eventually([&] { return !consumers.assignment().empty(); }));
        co_await pause_for(200ms);
        EXPECT_EQ(seen, 0);
        EXPECT_TRUE(consumers[1].is_paused());
        consumers.resume();
        EXPECT_TRUE(co_await eventually([&] { return seen >= 8; }));
        consumers.stop();
        EXPECT_TRUE(co_await eventually([&] { return is_over; }));
        co_await consumers.close();
    });
}

TEST_F(ConsumerPoolTest, AnIllegalConfigIsRefusedWithEveryProblem) {
    auto settings = config();
    settings.group_id = "";
    EXPECT_THROW((ConsumerPool{io.get_executor(), {.consumer_pool_size = 0}, settings}), std::invalid_argument);
    EXPECT_THROW((ConsumerPool{io.get_executor(), {.consumer_pool_size = 2}, settings}), std::invalid_argument);
}

} // namespace
} // namespace velostream::kafka
