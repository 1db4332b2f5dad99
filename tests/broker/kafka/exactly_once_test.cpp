// SPDX-License-Identifier: Apache-2.0
// What the mock cluster cannot show: it forgets the offsets of a transaction, fences nobody, and shows what was
// aborted.
#include "velostream/kafka/exactly_once.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <map>
#include <optional>

#include "broker_test.hpp"
#include "velostream/async/wait_queue.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"

namespace velostream::kafka {
namespace {

using Counts = std::map<std::string, int>;

class ExactlyOnceOnBrokerTest : public BrokerTest {
  protected:
    ExactlyOnceConfig config(const std::string& instance = "1") const {
        return {.transactional_id = unique("copier") + instance,
                .consumer = {.bootstrap_servers = address,
                             .group_id = unique("group"),
                             .topics = {unique("in")},
                             .session_timeout = 6s,
                             .fetch_wait = 5ms,
                             .report_ends = true,
                             .properties = {{"heartbeat.interval.ms", "100"}}},
                .producer = {.delivery_timeout = 5s, .linger = 0ms},
                .commit_interval = 20ms};
    }

    asio::awaitable<void> make_topics() {
        const std::vector<std::string> topics{"in", "out", "dead"};
        for (const auto& topic : topics) co_await create_topic(unique(topic), partitions);
    }
    asio::awaitable<void> write(int count) {
        const auto records = numbered_records(unique("in"), written_, count, partitions);
        written_ += count;
        co_await write_all(io.get_executor(), address, records);
    }

    Record copy_of(const ConsumedRecord& record) const {
        return Record{unique("out"), std::nullopt, std::string{*record.value()}};
    }
    auto copying() {
        return [this](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            const auto sent = co_await std::move(sending);
            if (!sent) co_return sent.error();
            co_return Result<void>{};
        };
    }

    template <class Handler>
    void start(ExactlyOnceProcessor& processor, std::optional<Result<void>>& ended, Handler handler) {
        asio::co_spawn(io, processor.for_each({}, std::move(handler)),
                       [&ended](const std::exception_ptr& thrown, Result<void> result) {
                           ended = thrown ? Error::from_exception(thrown) : std::move(result);
                       });
    }

    // How often each value lies in the topic, for a new reader.
    asio::awaitable<Counts> values(std::string topic, std::string isolation = "read_committed") {
        Consumer reader{io.get_executor(),
                        {.bootstrap_servers = address,
                         .group_id = unique("reader") + std::to_string(++readers_),
                         .topics = {unique(topic)},
                         .fetch_wait = 5ms,
                         .report_ends = true,
                         .properties = {{"isolation.level", isolation}}}};
        Counts counts;
        std::optional<Result<void>> ended;
        asio::co_spawn(io,
                       reader.for_each({},
                                       [&counts](const ConsumedRecord& record) -> asio::awaitable<void> {
                                           ++counts[std::string{*record.value()}];
                                           co_return;
                                       }),
                       [&ended](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return reader.end_reached(); }));
        reader.stop();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await reader.close();
        co_return counts;
    }

    static void expect_each_once(const Counts& counts, std::size_t count) {
        EXPECT_EQ(counts.size(), count);
        for (const auto& [value, times] : counts) EXPECT_EQ(times, 1) << value;
    }

    // How many records a new member of the group is given.
    asio::awaitable<std::uint64_t> left_over() {
        ExactlyOnceProcessor next{io.get_executor(), config()};
        std::optional<Result<void>> ended;
        start(next, ended, copying());
        EXPECT_TRUE(co_await eventually([&] { return next.end_reached(); }));
        const auto records = next.get_stats().records;
        co_await next.close();
        co_return records;
    }

    static constexpr int partitions = 4;

  private:
    int written_ = 0;
    int readers_ = 0;
};

TEST_F(ExactlyOnceOnBrokerTest, WhatWasAbortedIsSeenByNobodyWhoReadsWhatIsCommitted) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await make_topics();
        co_await write(40);
        ExactlyOnceProcessor copier{io.get_executor(), config()};
        bool fails = true;
        int written = 0;
        auto handler = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            const auto sent = co_await std::move(sending);
            if (!sent) co_return sent.error();
            if (++written == 10 && std::exchange(fails, false)) co_return Error{Errc::operation_failed};
            co_return Result<void>{};
        };
        std::optional<Result<void>> first, second;
        start(copier, first, handler);
        EXPECT_TRUE(co_await eventually([&] { return first.has_value(); }));
        EXPECT_EQ(first->error(), Errc::operation_failed);

        start(copier, second, handler);
        EXPECT_TRUE(co_await eventually([&] { return copier.end_reached(); }));
        co_await copier.close();

        const auto seen = co_await values("out");
        expect_each_once(seen, 40);
        const auto written_at_all = co_await values("out", "read_uncommitted");
        int copies = 0;
        for (const auto& [value, times] : written_at_all) copies += times;
        EXPECT_GE(copies, 50);
        EXPECT_EQ(co_await left_over(), 0U);
    });
}

TEST_F(ExactlyOnceOnBrokerTest, OutputsDeadLettersAndOffsetsAreThereTogether) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await make_topics();
        co_await write(8);
        auto settings = config();
        settings.commit_interval = 30s;
        settings.max_records = 8;
        std::optional<ExactlyOnceProcessor> copier{std::in_place, io.get_executor(), settings};
        const DeadLetterQueueConfig of_letters{.topic = unique("dead")};
        DeadLetterQueue letters{of_letters, DeadLetterTopic{*copier}, {.group = "g"}};
        WaitQueue held;
        bool is_held = true;
        int handled = 0;
        auto handler = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
            const auto goes_on = [&]() noexcept { return !is_held; };
            if (record.partition() == 0) {
                auto sending = letters.send_to_dlq(record, Error{Errc::operation_failed});
                const auto stored = co_await std::move(sending);
                if (!stored) co_return stored.error();
            } else {
                const auto copied = copy_of(record);
                auto sending = transaction.send(copied);
                const auto sent = co_await std::move(sending);
                if (!sent) co_return sent.error();
            }
            ++handled;
            auto waiting = held.async_wait_unless(goes_on, asio::use_awaitable);
            co_await std::move(waiting);
            co_return Result<void>{};
        };
        std::optional<Result<void>> ended;
        start(*copier, ended, handler);
        EXPECT_TRUE(co_await eventually([&] { return handled == 8; }));

        EXPECT_EQ((co_await values("out")).size(), 0U);
        EXPECT_EQ((co_await values("dead")).size(), 0U);
        is_held = false;
        held.wake_all();
        EXPECT_TRUE(co_await eventually([&] { return copier->get_stats().committed == 1; }));
        expect_each_once(co_await values("out"), 6);
        expect_each_once(co_await values("dead"), 2);
        co_await copier->close();
        EXPECT_EQ(co_await left_over(), 0U);
    });
}

TEST_F(ExactlyOnceOnBrokerTest, WhoeverComesWithTheSameNameFencesTheOther) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await make_topics();
        co_await write(8);
        auto settings = config();
        settings.commit_interval = 30s; // all are in one transaction, however slowly they come
        settings.max_records = 8;
        ExactlyOnceProcessor old{io.get_executor(), settings};
        std::optional<Result<void>> old_ended, new_ended;
        WaitQueue held;
        int reading = 0;
        auto holds = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            co_await std::move(sending);
            ++reading;
            co_await held.async_wait(asio::use_awaitable);
            co_return Result<void>{};
        };
        start(old, old_ended, holds);
        EXPECT_TRUE(co_await eventually([&] { return reading == 8; }));

        ExactlyOnceProcessor other{io.get_executor(), config()};
        start(other, new_ended, copying());
        // Its place is taken before its partitions are: it is asked for them, and cannot commit.
        EXPECT_TRUE(co_await eventually([&] { return old.get_stats().reading.rebalances == 2; }));
        held.wake_all();
        EXPECT_TRUE(co_await eventually([&] { return old_ended.has_value(); }));
        EXPECT_EQ(old_ended->error(), Errc::producer_fenced) << old_ended->error();
        co_await old.close();

        EXPECT_TRUE(co_await eventually([&] { return other.end_reached(); }));
        co_await other.close();
        expect_each_once(co_await values("out"), 8);
    });
}

TEST_F(ExactlyOnceOnBrokerTest, MembersThatComeAndGoLoseNothingAndDoNothingTwice) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await make_topics();
        co_await write(2000);
        auto settings = config();
        settings.max_records = 50;
        ExactlyOnceProcessor first{io.get_executor(), settings};
        std::optional<Result<void>> ended;
        start(first, ended, copying());
        EXPECT_TRUE(co_await eventually([&] { return first.get_stats().records >= 100; }));
        for (int guest = 2; guest < 5; ++guest) {
            auto of_guest = config(std::to_string(guest));
            of_guest.max_records = 50;
            ExactlyOnceProcessor second{io.get_executor(), of_guest};
            std::optional<Result<void>> guest_ended;
            start(second, guest_ended, copying());
            co_await write(500);
            // The first one may have done all of that before it was asked for partitions.
            EXPECT_TRUE(co_await eventually([&] { return second.assignment().size() == 2; }));
            co_await write(200);
            EXPECT_TRUE(co_await eventually([&] { return second.get_stats().records >= 50; }));
            co_await second.close();
            EXPECT_TRUE(*guest_ended) << guest_ended->error();
        }
        EXPECT_TRUE(co_await eventually([&] { return first.assignment().size() == 4 && first.end_reached(); }));
        co_await first.close();

        expect_each_once(co_await values("out"), 4100);
        EXPECT_EQ(co_await left_over(), 0U);
    });
}

TEST_F(ExactlyOnceOnBrokerTest, ATransactionThatTookTooLongIsReadAgain) {
    run(
        io,
        [&]() -> asio::awaitable<void> {
            co_await make_topics();
            co_await write(4);
            auto settings = config();
            settings.transaction_timeout = 1s;
            settings.producer.delivery_timeout = 1s;
            ExactlyOnceProcessor copier{io.get_executor(), settings};
            bool takes_too_long = true;
            auto handler = [&](const ConsumedRecord& record,
                               Transaction& transaction) -> asio::awaitable<Result<void>> {
                const auto copied = copy_of(record);
                auto sending = transaction.send(copied);
                const auto sent = co_await std::move(sending);
                if (!sent) co_return sent.error();
                // The brokers look every ten seconds; who does not let himself be cancelled leaves the abort to them.
                if (std::exchange(takes_too_long, false)) {
                    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
                    co_await pause_for(21s);
                }
                co_return Result<void>{};
            };
            std::optional<Result<void>> ended;
            start(copier, ended, handler);

            EXPECT_TRUE(co_await eventually([&] { return copier.end_reached(); }, 50s))
                << copier.get_stats().last_problem;

            EXPECT_FALSE(ended);
            EXPECT_GE(copier.get_stats().aborted, 1U);
            co_await copier.close();
            expect_each_once(co_await values("out"), 4);
        },
        90s);
}

} // namespace
} // namespace velostream::kafka
