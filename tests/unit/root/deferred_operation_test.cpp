// SPDX-License-Identifier: Apache-2.0
//
// Operations that are asynchronous functions given `asio::deferred`, and no coroutines.
#include <gtest/gtest.h>

#include <boost/asio/deferred.hpp>
#include <string>
#include <utility>

#include "support/run_coroutine.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// Completes as soon as the context runs, with these values.
template <class Signature, class... Values>
auto async_give(asio::io_context& io, Values... values) {
    auto initiate = [&io](auto handler, Values... given) {
        asio::post(io, [handler = std::move(handler), ... given = std::move(given)]() mutable {
            std::move(handler)(std::move(given)...);
        });
    };
    return asio::async_initiate<const asio::deferred_t, Signature>(initiate, asio::deferred, std::move(values)...);
}

class DeferredOperation : public ::testing::Test {
  protected:
    asio::io_context io;
    testing::ManualTime time;
    RetryExecutor<testing::ManualTime> retry{RetryConfig{.max_retries = 2}, nullptr, time};
    CircuitBreaker<testing::ManualTime> breaker{"orders", {}, nullptr, time};
    Pipeline<RetryExecutor<testing::ManualTime>, CircuitBreaker<testing::ManualTime>> guarded{retry, breaker};
    int calls = 0;
};

TEST_F(DeferredOperation, GivesItsValue) {
    auto operation = [&] { return async_give<void(std::string)>(io, std::string{"seven"}); };

    const Result<std::string> given = testing::run(io, time, guarded.execute(operation));

    EXPECT_EQ(given.value(), "seven");
}

TEST_F(DeferredOperation, GivesItsResult) {
    auto operation = [&] { return async_give<void(Result<int>)>(io, Result<int>{Error{Errc::cancelled}}); };

    const Result<int> given = testing::run(io, time, guarded.execute(operation));

    EXPECT_EQ(given.error(), Errc::cancelled);
}

TEST_F(DeferredOperation, SucceedsWithoutAValue) {
    auto operation = [&] { return async_give<void(boost::system::error_code)>(io, boost::system::error_code{}); };

    const Result<void> given = testing::run(io, time, guarded.execute(operation));

    EXPECT_TRUE(given);
}

TEST_F(DeferredOperation, FailsWithTheCodeInFront) {
    auto operation = [&](CallContext&) {
        ++calls;
        const boost::system::error_code refused = asio::error::connection_refused;
        return async_give<void(boost::system::error_code, int)>(io, refused, 0);
    };

    const Result<int> given = testing::run(io, time, guarded.execute(operation));

    EXPECT_EQ(given.error(), Errc::retries_exhausted);
    EXPECT_EQ(given.error().type(), ErrorType::network);
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(breaker.get_stats().failure_count, 3u);
}

TEST_F(DeferredOperation, IsCancelledAtTheDeadlineOfTheCall) {
    auto operation = [&] { return async_sleep_until(time, io.get_executor(), time.now() + 1h, asio::deferred); };

    const auto given = testing::run(io, time, guarded.execute(operation, time.now() + 3s));

    EXPECT_EQ(given.error(), Errc::deadline_exceeded);
}

TEST_F(DeferredOperation, EndsWithItsCaller) {
    auto operation = [&](CallContext&) {
        return async_sleep_until(time, io.get_executor(), time.now() + 1h, asio::deferred);
    };

    auto started = testing::start(io, guarded.execute(operation));
    started.cancel(asio::cancellation_type::partial);
    io.restart();
    io.poll();

    EXPECT_EQ(started.value().error().type(), ErrorType::cancelled);
}

} // namespace
} // namespace velostream
