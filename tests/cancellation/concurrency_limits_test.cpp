// SPDX-License-Identifier: Apache-2.0
// However a call under a bulkhead or an adaptive limit ends early, it leaves nothing behind: no permit, no waiter, no
// sleeper; and nothing is learned from it.
#include <gtest/gtest.h>

#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "support/cancellation_kinds.hpp"
#include "support/run_coroutine.hpp"
#include "velostream/adaptive_limit.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

struct OfBulkhead {
    using Limit = Bulkhead<testing::ManualTime>;
    static constexpr BulkheadConfig config{.max_concurrent = 1, .max_waiting = 10, .max_wait = 10s};
    static void give_back(BulkheadPermit& permit) { permit.give_back(); }
    static void expect_nothing_learned(const Limit&) {}
};
struct OfAdaptiveLimit {
    using Limit = AdaptiveLimit<testing::ManualTime>;
    static constexpr AdaptiveLimitConfig config{
        .initial_limit = 1, .max_limit = 1, .tolerated_drop_rate = 0, .max_waiting = 10, .max_wait = 10s};
    static void give_back(Limit::Permit& permit) { permit.ignore(); }
    static void expect_nothing_learned(const Limit& limit) {
        EXPECT_EQ(limit.get_stats().dropped, 0u);
        EXPECT_EQ(limit.get_stats().limit, 1u);
    }
};

template <class Which>
struct Scene {
    Result<typename Which::Limit::Permit> take() { return limit.try_acquire(); }
    auto start(asio::io_context& context) { return testing::start(context, limit.execute(operation)); }
    auto start() { return start(*io); }
    auto start_by_hand() { return testing::start(*io, limit.async_acquire(asio::use_awaitable)); }
    void poll(asio::io_context& context) {
        context.restart();
        context.poll();
    }
    void expect_nothing_left() {
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
        EXPECT_EQ(limit.get_stats().in_use, 0u);
        EXPECT_EQ(limit.get_stats().waiting, 0u);
        Which::expect_nothing_learned(limit);
        EXPECT_TRUE(limit.try_acquire());
    }

    testing::ManualTime time;
    asio::io_context elsewhere;
    std::optional<asio::io_context> io{std::in_place};
    typename Which::Limit limit{Which::config, time};
    testing::ScriptedOperation<int> operation{time};
};

template <class Which>
class CancelledLimitTest : public ::testing::Test {
  protected:
    using Calls = Scene<Which>;
};
using Limits = ::testing::Types<OfBulkhead, OfAdaptiveLimit>;
TYPED_TEST_SUITE(CancelledLimitTest, Limits);

TYPED_TEST(CancelledLimitTest, InTheLine) {
    for (const auto kind : testing::cancellation_kinds) {
        typename TestFixture::Calls calls;
        auto permit = *calls.take();
        calls.operation.returns(1);
        const auto call = calls.start(), next = calls.start();

        call.cancel(kind);
        calls.poll(*calls.io);
        EXPECT_EQ(calls.limit.get_stats().waiting, 1u);

        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        EXPECT_EQ(calls.limit.get_stats().cancelled, 1u);
        EXPECT_FALSE(next.ended());
        TypeParam::give_back(permit);
        calls.poll(*calls.io);
        EXPECT_TRUE(next.value());
        EXPECT_EQ(calls.operation.calls(), 1u);
        calls.expect_nothing_left();
    }
}

TYPED_TEST(CancelledLimitTest, InTheLineForAPermit) {
    for (const auto kind : testing::cancellation_kinds) {
        typename TestFixture::Calls calls;
        auto permit = *calls.take();
        const auto waits = calls.start_by_hand();

        waits.cancel(kind);
        calls.poll(*calls.io);

        EXPECT_EQ(waits.value().error(), Errc::cancelled);
        TypeParam::give_back(permit);
        calls.expect_nothing_left();
    }
}

TYPED_TEST(CancelledLimitTest, WhileItsPermitIsOnItsWay) {
    for (const auto kind : testing::cancellation_kinds) {
        typename TestFixture::Calls calls;
        auto permit = *calls.take();
        calls.operation.takes(1s).returns(1);
        const auto call = calls.start(), next = calls.start();
        TypeParam::give_back(permit);

        call.cancel(kind);
        calls.poll(*calls.io);

        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        EXPECT_EQ(calls.operation.running(), 1u) << "the next one has the permit";
        calls.time.run_for(*calls.io, 1s);
        EXPECT_TRUE(next.value());
        calls.expect_nothing_left();
    }
}

TYPED_TEST(CancelledLimitTest, DuringTheOperation) {
    for (const auto kind : testing::cancellation_kinds) {
        typename TestFixture::Calls calls;
        calls.operation.hangs();
        const auto call = calls.start();
        EXPECT_EQ(calls.limit.get_stats().in_use, 1u);

        call.cancel(kind);
        calls.poll(*calls.io);

        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        calls.expect_nothing_left();
    }
}

// An adaptive limit would take it for latency, and does not compile.
TEST(CancelledBulkheadTest, DuringABackoffInside) {
    for (const auto kind : testing::cancellation_kinds) {
        Scene<OfBulkhead> calls;
        RetryExecutor<testing::ManualTime> retry{RetryConfig{}, nullptr, calls.time};
        Pipeline guarded{calls.limit, retry};
        calls.operation.fails(Errc::connect_failed);
        const auto call = testing::start(*calls.io, guarded.execute(calls.operation));
        EXPECT_EQ(calls.limit.get_stats().in_use, 1u);

        call.cancel(kind);
        calls.poll(*calls.io);

        EXPECT_EQ(call.value().error(), ErrorType::cancelled);
        calls.expect_nothing_left();
    }
}

// The context ends while the call is somewhere in the middle: its frame is destroyed there.
template <class Which>
class DestroyedLimitCall : public CancelledLimitTest<Which> {};
TYPED_TEST_SUITE(DestroyedLimitCall, Limits);

TYPED_TEST(DestroyedLimitCall, InTheLine) {
    typename TestFixture::Calls calls;
    auto permit = *calls.take();
    calls.operation.returns(1);
    const auto call = calls.start(), next = calls.start(calls.elsewhere);

    calls.io.reset();
    EXPECT_FALSE(call.ended());
    EXPECT_EQ(calls.limit.get_stats().waiting, 1u);
    TypeParam::give_back(permit);
    calls.poll(calls.elsewhere);

    EXPECT_TRUE(next.value());
    calls.expect_nothing_left();
}

TYPED_TEST(DestroyedLimitCall, WhileItsPermitIsOnItsWay) {
    typename TestFixture::Calls calls;
    auto permit = *calls.take();
    calls.operation.returns(1);
    const auto call = calls.start();
    const auto by_hand = calls.start_by_hand();
    const auto next = calls.start(calls.elsewhere);
    TypeParam::give_back(permit);
    EXPECT_EQ(calls.limit.get_stats().waiting, 2u);

    calls.io.reset();
    EXPECT_FALSE(call.ended() || by_hand.ended());
    calls.poll(calls.elsewhere);

    EXPECT_TRUE(next.value()) << "the permit came back and went on";
    calls.expect_nothing_left();
}

TYPED_TEST(DestroyedLimitCall, DuringTheOperationWithOthersInTheSameContext) {
    typename TestFixture::Calls calls;
    calls.operation.hangs();
    const auto call = calls.start(), waits = calls.start();
    const auto acquires = calls.start_by_hand();

    calls.io.reset();

    EXPECT_FALSE(call.ended() || waits.ended() || acquires.ended());
    calls.expect_nothing_left();
}

TYPED_TEST(DestroyedLimitCall, AfterItsLimit) {
    typename TestFixture::Calls calls;
    std::optional<typename TypeParam::Limit> ending{std::in_place, TypeParam::config, calls.time};
    auto permit = *ending->try_acquire();
    const auto handed = testing::start(*calls.io, ending->async_acquire(asio::use_awaitable));
    const auto waits = testing::start(*calls.io, ending->async_acquire(asio::use_awaitable));
    TypeParam::give_back(permit);

    ending.reset();
    calls.io.reset();

    EXPECT_FALSE(handed.ended() || waits.ended());
    calls.expect_nothing_left();
}

TYPED_TEST(DestroyedLimitCall, BeforeItWasAwaited) {
    typename TestFixture::Calls calls;
    {
        const auto never_awaited = calls.limit.execute(calls.operation);
    }
    calls.expect_nothing_left();
}

} // namespace
} // namespace velostream
