// SPDX-License-Identifier: Apache-2.0
// What a guard says in place of a later try leaves the failure of the one before inside.
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "retry_executor_fixture.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/pipeline.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

class LastFailureTest : public RetryExecutorTest {
  protected:
    LastFailureTest() { operation.fails(Error{Errc::connect_failed, "broker 7"}); }

    const RetryConfig of_everything{
        .max_retries = 6,
        .backoff_strategy = FixedInterval{1s},
        .retry_on = {ErrorType::network, ErrorType::resource_exhausted, ErrorType::timeout, ErrorType::unknown}};
    CircuitBreaker<testing::ManualTime> breaker{{.failure_threshold = 1, .timeout = 1h}, nullptr, time};
};

void expect_behind(const Error& error, std::string_view detail) {
    ASSERT_NE(error.inner(), nullptr) << error;
    EXPECT_EQ(*error.inner(), Errc::connect_failed);
    EXPECT_EQ(error.inner()->detail(), detail);
    EXPECT_EQ(error.inner()->inner(), nullptr);
}

TEST_F(LastFailureTest, IsInsideOfTheRefusalThatEndsTheCall) {
    auto retry = with({});
    Pipeline guarded{retry, breaker};

    const auto error = run(io, time, guarded.execute(operation)).error();

    EXPECT_EQ(error, Errc::circuit_open);
    EXPECT_EQ(error, ErrorType::resource_exhausted);
    EXPECT_EQ(error, CircuitBreakerError::open);
    EXPECT_EQ(error.attempts(), 2u);
    EXPECT_TRUE(error.retry_after());
    expect_behind(error, "broker 7");
    ASSERT_EQ(observer->given_up().size(), 1u);
    expect_behind(observer->given_up()[0].error, "broker 7");
}

TEST_F(LastFailureTest, ARefusalOfTheFirstTryHasNothingInside) {
    auto retry = with({});
    Pipeline guarded{retry, breaker};
    breaker.force_open();

    const auto error = run(io, time, guarded.execute(operation)).error();

    EXPECT_EQ(error, Errc::circuit_open);
    EXPECT_EQ(error.inner(), nullptr);
}

// Refuses every try but the first, each in another way.
class Moody {
  public:
    class Guard {
      public:
        explicit Guard(Moody& policy) noexcept : policy_(policy) {}
        Decision before(CallContext& call) {
            if (call.attempt() == 1) return Decision::proceed();
            if (policy_.says) return Decision::refuse(*policy_.says);
            if (policy_.throws && call.attempt() % 2 == 0) throw std::runtime_error{"moody"};
            return Decision::refuse(call.attempt() % 2 == 0 ? Errc::bulkhead_full : Errc::rate_limited);
        }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, Error&) noexcept { return Verdict::pass_on(); }

      private:
        Moody& policy_;
    };

    bool throws = false;
    std::optional<Error> says;
};

TEST_F(LastFailureTest, RefusalsAfterItDoNotPileUpOnIt) {
    for (const bool throws : {false, true}) {
        auto retry = with(of_everything);
        Moody moody;
        moody.throws = throws;
        Pipeline guarded{retry, moody};

        const auto error = run(io, time, guarded.execute(operation)).error();

        EXPECT_EQ(error, Errc::retries_exhausted);
        EXPECT_EQ(error.attempts(), 7u);
        ASSERT_NE(error.inner(), nullptr);
        EXPECT_EQ(*error.inner(), Errc::rate_limited);
        expect_behind(*error.inner(), "broker 7");
    }
}

TEST_F(LastFailureTest, ARefusalThatHasSomethingInsideKeepsThat) {
    auto retry = with({});
    Moody moody;
    moody.says = Error{Errc::bulkhead_full}.with_inner(Error{Errc::send_timeout, "its own"});
    Pipeline guarded{retry, moody};

    const auto error = run(io, time, guarded.execute(operation)).error();

    EXPECT_EQ(error, Errc::bulkhead_full);
    ASSERT_NE(error.inner(), nullptr);
    EXPECT_EQ(error.inner()->detail(), "its own");
}

TEST_F(LastFailureTest, IsThatOfTheLastTryThatBegan) {
    auto retry = with({.max_retries = 3,
                       .backoff_strategy = FixedInterval{1s},
                       .retry_on = {ErrorType::network, ErrorType::resource_exhausted}});
    CircuitBreaker<testing::ManualTime> quick{{.failure_threshold = 1, .timeout = 1s}, nullptr, time};
    operation = testing::ScriptedOperation<int>{time};
    operation.fails({Errc::connect_failed, "first"}).fails({Errc::connect_failed, "second"});
    Pipeline guarded{retry, quick};
    auto opens_again = [&](CallContext& call) {
        if (call.attempt() == 2) quick.force_open();
        return operation();
    };

    const auto error = run(io, time, guarded.execute(opens_again)).error();

    ASSERT_NE(error.inner(), nullptr);
    EXPECT_EQ(*error.inner(), Errc::circuit_open);
    expect_behind(*error.inner(), "second");
}

} // namespace
} // namespace velostream
