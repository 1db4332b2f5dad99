// SPDX-License-Identifier: Apache-2.0
// A queue that holds records of an outage instead of making dead letters of them.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "dead_letter_queue_fixture.hpp"
#include "velostream/circuit_breaker.hpp"

namespace velostream {
namespace {

struct FloodObserver : Observer {
    void on_dead_letter_flood(const DeadLetterFlood& event) noexcept override {
        events.push_back(std::string{event.topic} + ": " + std::string{event.why});
    }
    std::vector<std::string> events;
};

class DeadLetterFloodTest : public DeadLetterQueueTest {
  protected:
    DeadLetterFloodTest() { config.flood_guard = {.max_in_a_row = 3, .hold = 10s}; }

    Queue& guarded() {
        if (!made) made.emplace(config, sink, DeadLetterQueueOptions{.observer = floods, .circuit = circuit}, time);
        return *made;
    }
    std::optional<Receipt>& fail(Error why) { return send(guarded(), std::move(why)); }
    void pass(Duration by) {
        time.advance(by);
        run();
    }

    const Error timeout{Errc::deadline_exceeded, "database"};
    std::shared_ptr<FloodObserver> floods = std::make_shared<FloodObserver>();
    std::optional<CircuitWait> circuit;
    std::optional<Queue> made;
};

TEST_F(DeadLetterFloodTest, HoldsTheSourceAndThenGivesTheRecordBack) {
    for (int count = 0; count < 3; ++count) EXPECT_TRUE(*fail(timeout));

    auto& held = fail(timeout);
    auto& other = fail(timeout);

    EXPECT_FALSE(held);
    EXPECT_EQ(guarded().get_stats().in_flight, 2u);
    EXPECT_EQ(floods->events, std::vector<std::string>{"bad-orders: too many in a row"});
    pass(10s - 1ns);
    EXPECT_FALSE(held);
    pass(1ns);
    ASSERT_TRUE(held && other);
    EXPECT_EQ(held->error(), Errc::record_not_to_blame);
    ASSERT_NE(held->error().inner(), nullptr);
    EXPECT_EQ(*held->error().inner(), Errc::deadline_exceeded);
    EXPECT_EQ(sink.letters().size(), 3u);
    EXPECT_EQ(guarded().get_stats().refused, 2u);
}

TEST_F(DeadLetterFloodTest, BadRecordsGoOnMeanwhile) {
    for (int count = 0; count < 4; ++count) fail(timeout);

    EXPECT_TRUE(*fail(bad_record));
    pass(10s);
}

TEST_F(DeadLetterFloodTest, ProcessedRecordsTellFailuresFromAnOutage) {
    for (int count = 0; count < 20; ++count) {
        EXPECT_TRUE(*fail(timeout)) << count;
        guarded().record_processed();
    }
}

TEST_F(DeadLetterFloodTest, IsOnUnlessItIsSwitchedOff) {
    config.flood_guard = {};
    int stored = 0;
    while (stored < 1000 && fail(timeout)) ++stored;
    EXPECT_EQ(stored, 49) << "fifty with one cause";
    pass(10s);

    config.flood_guard.enabled = false;
    made.reset();
    for (stored = 0; stored < 1000 && fail(timeout); ++stored) continue;
    EXPECT_EQ(stored, 1000);
}

TEST_F(DeadLetterFloodTest, WhileTheCircuitIsOpenNothingThatIsNotBadIsTaken) {
    CircuitBreaker<ManualTime> breaker{"database", {.timeout = 30s}, nullptr, time};
    circuit = breaker;
    EXPECT_TRUE(*fail(timeout));
    breaker.force_open();

    auto& held = fail(timeout);

    EXPECT_FALSE(held);
    EXPECT_TRUE(*fail(bad_record));
    pass(1h);
    EXPECT_FALSE(held) << "as long as it is open";
    breaker.force_close();
    run();
    ASSERT_TRUE(held);
    EXPECT_EQ(held->error(), Errc::record_not_to_blame);
    EXPECT_EQ(floods->events, std::vector<std::string>{});
}

TEST_F(DeadLetterFloodTest, WhereTheCircuitHasNoRoomForOneWhoWaitsTheRecordIsToBeHeld) {
    const MemoryAccount account{"breakers", 1024 * 1024};
    CircuitBreaker<ManualTime> breaker{"database", {}, nullptr, time, {}, account};
    circuit = breaker;
    breaker.force_open();
    auto all = account.try_reserve(account.available());
    const auto full = account.used();

    const auto& refused = fail(timeout);

    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->error(), Errc::memory_limit_exceeded);
    EXPECT_EQ(guarded().get_stats().in_flight, 0u);
    EXPECT_EQ(account.used(), full);
    all->release();
    EXPECT_FALSE(fail(timeout)) << "now it waits";
}

TEST_F(DeadLetterFloodTest, AHeldCallCanBeCancelled) {
    CircuitBreaker<ManualTime> breaker{"database", {}, nullptr, time};
    for (const bool by_circuit : {false, true}) {
        made.reset();
        if (by_circuit) {
            circuit = breaker;
            breaker.force_open();
        } else {
            for (int count = 0; count < 3; ++count) fail(timeout);
        }
        asio::cancellation_signal cancel;
        std::optional<Receipt> held;
        asio::co_spawn(
            io, guarded().send_to_dlq(record, timeout),
            asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr, Receipt r) { held = std::move(r); }));
        run();
        EXPECT_FALSE(held);

        cancel.emit(asio::cancellation_type::terminal);
        run();

        ASSERT_TRUE(held);
        EXPECT_EQ(held->error(), Errc::cancelled);
        EXPECT_EQ(guarded().get_stats().cancelled, 1u);
        EXPECT_EQ(guarded().get_stats().in_flight, 0u);
        EXPECT_TRUE(io.stopped()) << "nothing waits any more";
    }
}

} // namespace
} // namespace velostream
