// SPDX-License-Identifier: Apache-2.0
// With the machine's clock, and Asio's timers: whichever request for memory fails, a sleep or an alarm begins or
// throws. Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "support/allocation_count.hpp"
#include "velostream/async/alarm.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::with_each_request_failing;

// In contexts that nobody has used before, and in such that others have used.
template <class Context>
class SteadyFailuresTest : public ::testing::Test {
  protected:
    template <class Begin>
    void expect_each_to_begin_or_throw(Begin begin) {
        for (const bool is_used : {false, true}) {
            const auto make_context = [&] {
                context.emplace();
                if (is_used) SteadyTime{}.sleep_until(context->get_executor(), far(), [](boost::system::error_code) {});
            };
            make_context();
            int thrown = 0;
            const auto try_to_begin = [&] {
                try {
                    begin(asio::any_io_executor{context->get_executor()});
                } catch (const std::bad_alloc&) {
                    ++thrown;
                }
            };
            const auto failures = with_each_request_failing(try_to_begin, [&] {
                context.reset();
                EXPECT_EQ(alive.use_count(), 1) << "a handler that is left behind";
                make_context();
            });

            EXPECT_GE(failures, 2);
            EXPECT_EQ(thrown, failures);
        }
    }
    static TimePoint far() { return SteadyTime{}.now() + 1h; }

    std::shared_ptr<int> alive = std::make_shared<int>();
    std::optional<Context> context;
};
using Contexts = ::testing::Types<asio::io_context, asio::thread_pool>;
TYPED_TEST_SUITE(SteadyFailuresTest, Contexts);

TYPED_TEST(SteadyFailuresTest, ASleepBeginsOrThrows) {
    this->expect_each_to_begin_or_throw([&](const asio::any_io_executor& executor) {
        SteadyTime{}.sleep_until(executor, this->far(), [kept = this->alive](boost::system::error_code) {});
    });
}

TYPED_TEST(SteadyFailuresTest, ASleepOfWhatHasThatExecutorItselfBeginsOrThrows) {
    this->expect_each_to_begin_or_throw([&](const asio::any_io_executor& executor) {
        auto handler = asio::bind_executor(executor, [kept = this->alive](boost::system::error_code) {});
        SteadyTime{}.sleep_until(executor, this->far(), std::move(handler));
    });
}

TYPED_TEST(SteadyFailuresTest, AnAlarmIsSetOrThrows) {
    Alarm alarm;
    this->expect_each_to_begin_or_throw([&](const asio::any_io_executor& executor) {
        alarm.set(SteadyTime{}, executor, this->far(), [kept = this->alive](AlarmEnd) {});
    });
}

TEST(SteadyAlarm, RingsWithoutAskingForMemory) {
    asio::io_context io;
    Alarm alarm;
    int rang = 0;
    alarm.set(SteadyTime{}, io.get_executor(), TimePoint{}, [&rang](AlarmEnd) { ++rang; });

    const auto failures = with_each_request_failing([&] { io.run(); }, [] {});

    EXPECT_EQ(failures, 0);
    EXPECT_EQ(rang, 1);
}

TEST(SteadySleep, IsCancelledWithoutAskingForMemory) {
    asio::io_context io;
    asio::cancellation_signal cancel;
    int woken = 0;
    const asio::any_io_executor executor = io.get_executor();
    const auto handler = asio::bind_executor(executor, [&woken](boost::system::error_code) { ++woken; });
    SteadyTime{}.sleep_until(executor, TimePoint::max(), asio::bind_cancellation_slot(cancel.slot(), handler));

    const auto failures = with_each_request_failing(
        [&] {
            cancel.emit(asio::cancellation_type::terminal);
            io.run();
        },
        [] {});

    EXPECT_EQ(failures, 0);
    EXPECT_EQ(woken, 1);
}

} // namespace
} // namespace velostream
#endif
