// SPDX-License-Identifier: Apache-2.0
// A wait for memory that finds no memory for itself throws, and leaves nothing behind.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "support/allocation_count.hpp"
#include "support/sleepless_time.hpp"
#include "velostream/async_reserve.hpp"
#include "velostream/async_reserve_all.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class AsyncReserveFailuresTest : public ::testing::Test {
  protected:
    auto handler() {
        return asio::bind_cancellation_slot(cancel.slot(), asio::bind_executor(io, [this](const auto&) { ++ended; }));
    }
    void reserve(TimePoint deadline) { async_reserve(account, 10, deadline, time, handler()); }
    void reserve_all(TimePoint deadline) { async_reserve_all({{account, 10}, {places, 1}}, deadline, time, handler()); }
    void poll() {
        io.restart();
        io.poll();
    }
    // What a wait that could not begin leaves behind.
    void expect_nothing_left() {
        poll();
        EXPECT_TRUE(io.stopped()) << "nothing goes on";
        const int before = ended;
        cancel.emit(asio::cancellation_type::terminal);
        poll();
        EXPECT_EQ(ended, before) << "nobody is told";
        EXPECT_FALSE(account.anyone_waits());
        EXPECT_EQ(places.used(), 0u);
        EXPECT_TRUE(account.is_last_handle()) << "nothing of it is kept";
    }

    testing::SleeplessTime time;
    asio::io_context io;
    asio::cancellation_signal cancel;
    const MemoryAccount account{"account", 100}, places{"places", 1};
    const MemoryReservation full = *account.try_reserve(100);
    int ended = 0;
};

TEST_F(AsyncReserveFailuresTest, AReserveWhoseDeadlineCannotBeSetDoesNotBegin) {
    time.set_has_no_memory(true);
    EXPECT_THROW(reserve(time.now() + 1s), std::bad_alloc);

    expect_nothing_left();
}

TEST_F(AsyncReserveFailuresTest, AReserveAllWhoseDeadlineCannotBeSetDoesNotBegin) {
    time.set_has_no_memory(true);
    EXPECT_THROW(reserve_all(time.now() + 1s), std::bad_alloc);

    expect_nothing_left();
}

/// A clock without memory for sleepers, who are cancelled when they ask.
struct CancellingTime {
    asio::cancellation_signal* signal;

    TimePoint now() const noexcept { return TimePoint{1h}; }
    TimePoint coarse_now() const noexcept { return now(); }
    void sleep_until(const asio::any_io_executor&, TimePoint, const SleepHandler&) {
        signal->emit(asio::cancellation_type::terminal);
        throw std::bad_alloc{};
    }
};

TEST_F(AsyncReserveFailuresTest, AReserveThatWasCancelledBeforeItsDeadlineCouldNotBeSetHasEnded) {
    const CancellingTime cancelling{&cancel};
    EXPECT_NO_THROW(async_reserve(account, 10, cancelling.now() + 1s, cancelling, handler()));
    poll();

    EXPECT_EQ(ended, 1);
    expect_nothing_left();
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(AsyncReserveFailuresTest, WhicheverRequestFailsAWaitBeginsOrDoesNot) {
    for (const bool all : {false, true}) {
        const auto begin = [&] { all ? reserve_all(TimePoint::max()) : reserve(TimePoint::max()); };
        begin(); // the context's services are there from now on
        cancel.emit(asio::cancellation_type::terminal);
        poll();
        ended = 0;
        int begun = 0;
        bool has_begun = false;
        const auto try_to_begin = [&] {
            has_begun = false;
            try {
                begin();
                has_begun = true;
                ++begun;
            } catch (const std::bad_alloc&) {
                return;
            }
        };
        const auto failures = testing::with_each_request_failing(try_to_begin, [&] {
            if (has_begun) cancel.emit(asio::cancellation_type::terminal);
            expect_nothing_left();
        });

        EXPECT_GE(failures, 2);
        EXPECT_EQ(ended, begun);
    }
}

TEST(GivenUp, WithoutMemoryForTheReasonADeadlineEndsTheWaitNevertheless) {
    std::optional<Error> error;
    const auto give_up = [&] {
        error = detail::given_up(Errc::deadline_exceeded, [] {
            return Error{Errc::memory_limit_exceeded, "a text that fits in no small string of anybody"};
        });
    };
    const auto failures =
        testing::with_each_request_failing(give_up, [&] { EXPECT_EQ(*error, Errc::deadline_exceeded); });

    EXPECT_GE(failures, 2);
    EXPECT_EQ(*error->inner(), Errc::memory_limit_exceeded);
}
#endif

} // namespace
} // namespace velostream
