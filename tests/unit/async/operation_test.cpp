// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/operation.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace velostream {
namespace {

using namespace std::chrono_literals;

struct Plain {
    asio::awaitable<int> operator()() { co_return 1; }
};
struct WithContext {
    asio::awaitable<Result<int>> operator()(CallContext&) { co_return 1; }
};
struct Both {
    asio::awaitable<int> operator()() { co_return 1; }
    asio::awaitable<double> operator()(CallContext&) { co_return 1; }
};
struct NoCoroutine {
    int operator()() { return 1; }
};

static_assert(PlainOperation<Plain> && !ContextOperation<Plain>);
static_assert(ContextOperation<WithContext> && !PlainOperation<WithContext>);
static_assert(!AsyncOperation<NoCoroutine> && !AsyncOperation<int>);

// A plain value is wrapped in a result, a result is left alone; an operation of both shapes is given the context.
static_assert(std::is_same_v<OperationResult<Plain>, Result<int>>);
static_assert(std::is_same_v<OperationResult<WithContext>, Result<int>>);
static_assert(std::is_same_v<OperationValue<Both>, double>);

// The mark changes neither shape nor value.
static_assert(is_idempotent<Idempotent<Plain>> && !is_idempotent<Plain>);
static_assert(PlainOperation<Idempotent<Plain>> && !ContextOperation<Idempotent<Plain>>);
static_assert(ContextOperation<Idempotent<WithContext>> && !PlainOperation<Idempotent<WithContext>>);
static_assert(std::is_same_v<OperationValue<Idempotent<Both>>, double>);

TEST(Idempotent, TakesTheOperationByValue) {
    auto owned = std::make_unique<int>(3);
    auto marked = idempotent([owned = std::move(owned)]() -> asio::awaitable<int> { co_return *owned; });

    EXPECT_EQ(owned, nullptr);
    EXPECT_TRUE(is_idempotent<decltype(marked)>);
}

TEST(CallContext, HasNoDeadlineUnlessItIsGivenOne) {
    CallContext call;

    EXPECT_FALSE(call.has_deadline());
    EXPECT_EQ(call.deadline(), CallContext::no_deadline);
    EXPECT_EQ(call.attempt(), 1u);
    EXPECT_FALSE(call.is_idempotent());
    EXPECT_FALSE(call.cancellation_slot().is_connected());
}

TEST(CallContext, TheEarlierDeadlineCounts) {
    const TimePoint t0{100s};
    CallContext call{t0 + 10s};

    call.begin_attempt(2, t0 + 3s);
    EXPECT_EQ(call.attempt(), 2u);
    EXPECT_EQ(call.deadline(), t0 + 3s);
    EXPECT_EQ(call.call_deadline(), t0 + 10s);

    call.begin_attempt(3, t0 + 20s);
    EXPECT_EQ(call.deadline(), t0 + 10s);
}

TEST(CallContext, ADeadlineIsTightenedNeverLoosened) {
    const TimePoint t0{100s};
    CallContext call{t0 + 10s};

    call.tighten_deadline(t0 + 20s);
    EXPECT_EQ(call.call_deadline(), t0 + 10s);
    call.tighten_deadline(t0 + 5s);
    EXPECT_EQ(call.call_deadline(), t0 + 5s);
}

} // namespace
} // namespace velostream
