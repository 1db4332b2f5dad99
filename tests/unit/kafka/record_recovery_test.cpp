// SPDX-License-Identifier: Apache-2.0
#include "kafka/record_recovery.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <limits>

#include "velostream/circuit_breaker.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::kafka::detail {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

class RecordRecoveryTest : public ::testing::Test {
  protected:
    // How many handlers start now, if all may.
    int start_all() {
        int started = 0;
        for (; recovery.admits(); ++started) recovery.on_started();
        return started;
    }
    void open_circuit() { breaker.try_acquire()->failure(Errc::broker_unreachable); }

    asio::io_context io;
    ManualTime time;
    CircuitBreaker<ManualTime> breaker{"service", {.failure_threshold = 1, .timeout = 10s}, nullptr, time};
    RecordRecovery recovery{breaker, 8, io.get_executor()};
    const Error unreachable{Errc::broker_unreachable};
};

TEST_F(RecordRecoveryTest, WhereTheCircuitIsClosedRestsDoubleUpToASecond) {
    start_all();
    std::size_t tries = 0;
    for (const auto rest : {20ms, 40ms, 80ms, 160ms, 320ms, 640ms, 1000ms})
        EXPECT_EQ(recovery.hold(unreachable, tries++), Duration{rest});
    EXPECT_EQ(recovery.hold(unreachable, std::numeric_limits<std::size_t>::max()), Duration{1s});
}

TEST_F(RecordRecoveryTest, ARestIsAsLongAsTheErrorAsksForButNoShorter) {
    start_all();
    EXPECT_EQ(recovery.hold(unreachable.with_retry_after(5s), 0), Duration{5s});
    EXPECT_EQ(recovery.hold(unreachable.with_retry_after(1ms), 0), Duration{20ms});
    EXPECT_EQ(recovery.hold(Error{Errc::dead_letter_lost}.with_inner(unreachable.with_retry_after(5s)), 0),
              Duration{5s});
}

TEST_F(RecordRecoveryTest, ATimeoutIsHeldWhateverMayHaveHappenedBeforeIt) {
    const auto cut_off = Error{Errc::deadline_exceeded}.with_inner(Errc::send_outcome_unknown);
    EXPECT_TRUE(RecordRecovery::holds(cut_off));
    EXPECT_TRUE(RecordRecovery::holds(Error{Errc::dead_letter_lost}.with_inner(cut_off)));
    EXPECT_FALSE(RecordRecovery::holds(cut_off.blaming_record(true)));
    EXPECT_FALSE(RecordRecovery::holds(Errc::send_outcome_unknown));
}

TEST_F(RecordRecoveryTest, WhereTheCircuitIsNotClosedThereIsNoRestButThatOfTheCircuit) {
    start_all();
    open_circuit();
    EXPECT_EQ(recovery.hold(unreachable, 0), Duration{0});
    time.advance(10s);
    ASSERT_EQ(breaker.state(), CircuitState::half_open);
    EXPECT_EQ(recovery.hold(unreachable, 0), Duration{0});
}

TEST_F(RecordRecoveryTest, AHandlerForWhomTheHalfOpenCircuitHadNoPlaceWaitsUntilItHas) {
    open_circuit();
    time.advance(10s);
    ASSERT_EQ(start_all(), 1);
    recovery.hold(Error{Errc::circuit_open}, 0);
    RecordRecovery::Worker worker;
    recovery.wait_for_turn(1, worker);

    EXPECT_EQ(recovery.next(false), nullptr);
    recovery.on_ready();
    EXPECT_EQ(recovery.next(false), &worker);
}

TEST_F(RecordRecoveryTest, AFailureOnTheWayUpHalvesWhatMayBeInProgress) {
    open_circuit();
    ASSERT_EQ(start_all(), 0);
    breaker.force_close();
    recovery.on_ready();
    for (const int allowed : {1, 2, 4}) {
        ASSERT_EQ(start_all(), allowed);
        if (allowed == 4) break;
        for (int ended = 0; ended < allowed; ++ended) recovery.on_ended(true);
    }

    recovery.hold(unreachable, 0);
    for (int ended = 0; ended < 3; ++ended) recovery.on_ended(false);

    EXPECT_EQ(start_all(), 2);
}

} // namespace
} // namespace velostream::kafka::detail
