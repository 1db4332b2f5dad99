// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kafka_topic_fixture.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/kafka/consumer_pool.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::kafka {
namespace {

/// What handlers call through a breaker: a service that can be down.
class CircuitGateTest : public TopicTest {
  protected:
    using Breaker = CircuitBreaker<testing::ManualTime>;
    static constexpr Duration open_for = 60s;

    auto handler() {
        return [this](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            started.emplace_back(*record.value());
            most_running = std::max(most_running, ++running);
            auto call = [this] { return ask(); };
            auto calling = breaker.execute(call);
            const auto answered = co_await std::move(calling);
            --running;
            if (answered) finished.emplace_back(*record.value());
            if (answered && finished.size() == count && reader) reader->stop();
            co_return answered;
        };
    }
    asio::awaitable<Result<void>> ask() {
        ++calls;
        co_await pause_for(1ms);
        if (is_down) co_return Error{Errc::broker_unreachable};
        co_return Result<void>{};
    }

    template <class Handler>
    void start(Consumer& consumer, const ForEachOptions& options, Handler handle) {
        reader = &consumer;
        asio::co_spawn(io, consumer.for_each(options, std::move(handle)),
                       asio::bind_cancellation_slot(stopping.slot(), [this](std::exception_ptr, Result<void> result) {
                           ended = std::move(result);
                       }));
    }
    void start(Consumer& consumer) { start(consumer, {.max_in_flight = 16, .gate = breaker}, handler()); }

    /// Until the circuit is open and who asked is held.
    asio::awaitable<bool> stands_still() {
        auto holding = eventually(
            [this] { return breaker.state() == CircuitState::open && running == 0 && reader->get_stats().held > 0; });
        const bool is_held = co_await std::move(holding);
        co_await settle();
        co_return is_held;
    }
    /// Until nothing happens by itself any more, as far as a moment shows.
    asio::awaitable<void> settle() {
        for (auto before = started.size() + 1; before != started.size();) {
            before = started.size();
            co_await pause_for(50ms);
        }
    }
    static std::multiset<std::string> numbers(std::size_t up_to) {
        std::multiset<std::string> all;
        for (std::size_t i = 0; i < up_to; ++i) all.insert(std::to_string(i));
        return all;
    }

    testing::ManualTime time;
    Breaker breaker{"service",
                    {.failure_threshold = 3, .success_threshold = 2, .timeout = open_for, .sliding_window_size = 10},
                    nullptr,
                    time};
    std::size_t count = 0;
    std::vector<std::string> started, finished;
    int running = 0, most_running = 0, calls = 0;
    bool is_down = false;
    Consumer* reader = nullptr;
    std::optional<Result<void>> ended;
    asio::cancellation_signal stopping;
};

TEST_F(CircuitGateTest, AnOutageFailsNoRecordAndTheConsumerStaysInItsGroup) {
    run(io, [&]() -> asio::awaitable<void> {
        count = 200;
        co_await write(200);
        is_down = true;
        Consumer consumer{io.get_executor(), config()};
        start(consumer);
        EXPECT_TRUE(co_await stands_still());
        const auto before = consumer.get_stats();
        const auto asked = calls;
        const auto tried = started.size();
        co_await settle();

        EXPECT_EQ(calls, asked); // an open circuit is not asked again and again
        EXPECT_EQ(started.size(), tried);
        EXPECT_EQ(before.done, 0U);
        for (int i = 0; i < 3; ++i) { // the service is still down: one call finds out each time
            time.advance(open_for);
            EXPECT_TRUE(co_await eventually([&] { return calls == asked + i + 1; }));
            EXPECT_TRUE(co_await stands_still());
        }
        EXPECT_EQ(calls, asked + 3);
        EXPECT_FALSE(ended);

        is_down = false;
        time.advance(open_for);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(*ended) << ended->error();
        EXPECT_EQ(std::multiset<std::string>(finished.begin(), finished.end()), numbers(200));
        const auto after = consumer.get_stats();
        EXPECT_EQ(after.done, 200U);
        EXPECT_EQ(after.held, 0U);
        EXPECT_EQ(after.rebalances, before.rebalances);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, RecoveryBeginsWithOneRecordAndDoublesWhatIsInProgress) {
    run(io, [&]() -> asio::awaitable<void> {
        count = 100;
        co_await write(100);
        breaker.force_open();
        Consumer consumer{io.get_executor(), config()};
        std::map<std::size_t, int> most_after; // so many were finished
        auto counting = [&, inner = handler()](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            auto& most = most_after[finished.size()];
            most = std::max(most, running + 1);
            auto handling = inner(record);
            co_return co_await std::move(handling);
        };
        start(consumer, {.max_in_flight = 16, .gate = breaker}, counting);
        EXPECT_TRUE(co_await eventually([&] { return !consumer.assignment().empty(); }));
        co_await settle();
        EXPECT_EQ(started.size(), 0U);

        breaker.reset();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));

        const auto allowed_after = [](std::size_t done) {
            return done < 1 ? 1 : done < 3 ? 2 : done < 7 ? 4 : done < 15 ? 8 : 16;
        };
        for (const auto& [done, most] : most_after) EXPECT_LE(most, allowed_after(done)) << "after " << done;
        EXPECT_EQ(most_running, 16);
        EXPECT_EQ(finished.size(), 100U);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, HalfOpenOneRecordAfterTheOtherIsTried) {
    run(io, [&]() -> asio::awaitable<void> {
        count = 40;
        co_await write(40);
        is_down = true;
        Consumer consumer{io.get_executor(), config()};
        start(consumer);
        EXPECT_TRUE(co_await stands_still());
        most_running = 0;
        int most_half_open = 0;
        is_down = false;
        breaker.on_state_change([&](const CircuitStateChanged& change) {
            if (change.from == CircuitState::half_open) most_half_open = most_running;
        });
        time.advance(open_for);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));

        EXPECT_EQ(most_half_open, 1);
        EXPECT_EQ(finished.size(), 40U);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, HeldRecordsGoFirstInTheOrderInWhichTheyFailed) {
    run(io, [&]() -> asio::awaitable<void> {
        count = 40;
        co_await write(40, 0);
        is_down = true;
        Consumer consumer{io.get_executor(), config()};
        start(consumer, {.max_in_flight = 4, .gate = breaker}, handler());
        EXPECT_TRUE(co_await stands_still());
        started.clear();

        is_down = false;
        time.advance(open_for);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));

        const auto all = [] {
            std::vector<std::string> texts;
            for (int i = 0; i < 40; ++i) texts.push_back(std::to_string(i));
            return texts;
        }();
        EXPECT_EQ(started, all);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, StoppingLeavesHeldRecordsToWhoeverReadsOn) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10);
        is_down = true;
        {
            Consumer consumer{io.get_executor(), in_changing_group(config())};
            start(consumer);
            EXPECT_TRUE(co_await stands_still());
            consumer.stop();
            EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
            EXPECT_TRUE(*ended) << ended->error();
            EXPECT_EQ(consumer.get_stats().held, 0U);
            EXPECT_EQ(consumer.get_stats().done, 0U);
            co_await consumer.close();
        }
        is_down = false;
        count = 10;
        breaker.reset();
        ended.reset();
        Consumer next{io.get_executor(), in_changing_group(config())};
        start(next);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(std::multiset<std::string>(finished.begin(), finished.end()), numbers(10));
        co_await next.close();
    });
}

TEST_F(CircuitGateTest, CancellationEndsTheWaitOfHeldRecords) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10);
        is_down = true;
        Consumer consumer{io.get_executor(), config()};
        start(consumer);
        EXPECT_TRUE(co_await stands_still());
        stopping.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::cancelled);
        EXPECT_EQ(consumer.get_stats().held, 0U);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, AContextThatEndsTakesHeldRecordsWithIt) {
    auto kept = std::make_shared<int>(0);
    {
        asio::io_context other{1};
        run(io, [&]() -> asio::awaitable<void> { co_await write(10); });
        is_down = true;
        Consumer consumer{other.get_executor(), config()};
        reader = &consumer;
        auto keeping = [kept, inner = handler()](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            auto handling = inner(record);
            co_return co_await std::move(handling);
        };
        asio::co_spawn(other, consumer.for_each({.max_in_flight = 16, .gate = breaker}, keeping), asio::detached);
        run(other, [&]() -> asio::awaitable<void> { EXPECT_TRUE(co_await stands_still()); });
        EXPECT_GT(kept.use_count(), 1);
        EXPECT_EQ(finished.size(), 0U);
    }
    EXPECT_EQ(kept.use_count(), 1);
    time.advance(open_for);
    EXPECT_EQ(breaker.state(), CircuitState::half_open); // and nobody is told
}

TEST_F(CircuitGateTest, WithoutRoomToWaitForTheBreakerItLooksAgain) {
    run(io, [&]() -> asio::awaitable<void> {
        count = 10;
        co_await write(10);
        const MemoryAccount account{"breakers", 64 * 1024};
        Breaker poor{"service", {.failure_threshold = 1, .timeout = open_for}, nullptr, time, {}, account};
        auto taken = account.try_reserve(64 * 1024 - account.used());
        EXPECT_TRUE(taken);
        poor.force_open();
        Consumer consumer{io.get_executor(), config()};
        start(consumer, {.max_in_flight = 4, .gate = poor}, handler());
        EXPECT_TRUE(co_await eventually([&] { return !consumer.assignment().empty(); }));
        EXPECT_TRUE(co_await eventually([&] { return account.refusals() >= 2; }));
        co_await settle();
        EXPECT_EQ(started.size(), 0U);

        poor.reset();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(*ended) << ended->error();
        EXPECT_EQ(finished.size(), 10U);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, WithoutRoomToWaitForTheBreakerHeldRecordsStayHeldAndNoneIsLost) {
    run(io, [&]() -> asio::awaitable<void> {
        count = 40;
        co_await write(40);
        is_down = true;
        const MemoryAccount account{"breakers", 64 * 1024};
        Breaker poor{"service", {.failure_threshold = 1, .success_threshold = 1, .timeout = open_for},
                     nullptr,   time,
                     {},        account};
        std::optional<MemoryReservation> taken; // all there is, from the first failure on
        auto asking_poor = [&](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            started.emplace_back(*record.value());
            auto call = [this] { return ask(); };
            auto calling = poor.execute(call);
            const auto answered = co_await std::move(calling);
            if (!taken)
                if (auto rest = account.try_reserve(account.available())) taken = std::move(*rest);
            if (answered) finished.emplace_back(*record.value());
            if (answered && finished.size() == count) reader->stop();
            co_return answered;
        };
        Consumer consumer{io.get_executor(), config()};
        start(consumer, {.max_in_flight = 4, .gate = poor}, asking_poor);
        EXPECT_TRUE(co_await eventually([&] { return account.refusals() >= 2 && consumer.get_stats().held > 0; }));
        co_await settle();
        const auto asked = calls;
        const auto tried = started.size();
        co_await settle();
        EXPECT_EQ(calls, asked);
        EXPECT_EQ(started.size(), tried);
        EXPECT_FALSE(ended);

        taken->release(); // now it can wait
        const auto full = account.used();
        EXPECT_TRUE(co_await eventually([&] { return account.used() > full; }));
        is_down = false;
        time.advance(open_for);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));

        EXPECT_TRUE(*ended) << ended->error();
        EXPECT_EQ(std::multiset<std::string>(finished.begin(), finished.end()), numbers(40));
        EXPECT_EQ(consumer.get_stats().held, 0U);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, ARecordThatIsToBlameEndsTheLoopAsWithoutAGate) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(10);
        Consumer consumer{io.get_executor(), config()};
        const Error bad = boost::system::errc::make_error_code(boost::system::errc::bad_message);
        auto fails = [&](const ConsumedRecord&) -> asio::awaitable<Result<void>> { co_return bad; };
        start(consumer, {.max_in_flight = 4, .gate = breaker}, fails);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), bad.code());
        EXPECT_EQ(consumer.get_stats().held, 0U);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, WhereTheCircuitIsClosedAFailureThatPassesIsTriedAgainAfterARest) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        Consumer consumer{io.get_executor(), config()};
        int tries = 0;
        auto fails_twice = [&](const ConsumedRecord&) -> asio::awaitable<Result<void>> {
            if (++tries < 3) co_return Error{Errc::bulkhead_full};
            consumer.stop();
            co_return Result<void>{};
        };
        start(consumer, {.max_in_flight = 4, .gate = breaker}, fails_twice);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(*ended) << ended->error();
        EXPECT_EQ(tries, 3);
        EXPECT_EQ(consumer.get_stats().done, 1U);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, WhatADeadLetterQueueCouldNotTakeIsJudgedByItsReason) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        Consumer consumer{io.get_executor(), config()};
        int tries = 0;
        auto fails = [&](const ConsumedRecord&) -> asio::awaitable<Result<void>> {
            ++tries;
            if (tries == 1) co_return Error{Errc::record_not_to_blame}.with_inner(Errc::circuit_open);
            if (tries == 2) co_return Error{Errc::dead_letter_lost}.with_inner(Errc::broker_unreachable);
            const auto denied = boost::system::errc::make_error_code(boost::system::errc::permission_denied);
            co_return Error{Errc::dead_letter_lost}.with_inner(denied);
        };
        start(consumer, {.max_in_flight = 4, .gate = breaker}, fails);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_EQ(ended->error(), Errc::dead_letter_lost);
        EXPECT_EQ(tries, 3);
        co_await consumer.close();
    });
}

TEST_F(CircuitGateTest, EveryMemberOfAPoolRecoversByItself) {
    run(io, [&]() -> asio::awaitable<void> {
        count = 100;
        co_await write(100);
        is_down = true;
        KafkaPoolConfig sizes;
        sizes.consumer_pool_size = 2;
        ConsumerPool pool{io.get_executor(), sizes, in_changing_group(config())};
        auto ends_pool = [&, inner = handler()](const ConsumedRecord& record) -> asio::awaitable<Result<void>> {
            auto handling = inner(record);
            const auto handled = co_await std::move(handling);
            if (std::set<std::string>(finished.begin(), finished.end()).size() == count) pool.stop();
            co_return handled;
        };
        asio::co_spawn(io, pool.for_each({.max_in_flight = 16, .gate = breaker}, ends_pool),
                       [&](std::exception_ptr, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return breaker.state() == CircuitState::open && running == 0; }));
        co_await settle();
        is_down = false;
        time.advance(open_for);
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(*ended) << ended->error();
        co_await pool.close();
    });
}

} // namespace
} // namespace velostream::kafka
