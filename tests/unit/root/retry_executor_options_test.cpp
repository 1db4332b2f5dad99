// SPDX-License-Identifier: Apache-2.0
// The functions that an executor may be given: a predicate, a timeout for each try, and who is told of each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "retry_executor_fixture.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/pipeline.hpp"

namespace velostream::retry_executor_options_test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

using RetryIfTest = RetryExecutorTest;

TEST_F(RetryIfTest, DecidesInsteadOfTheList) {
    auto retry = with({}, {.retry_if = [](const Error& error) { return error.detail() == "again"; }});
    operation.fails(Error{Errc::operation_failed, "again"}).fails(Error{Errc::connect_failed, "no more"});

    const auto result = execute(retry);

    EXPECT_EQ(operation.calls(), 2u);
    EXPECT_EQ(result.error(), Errc::connect_failed);
    EXPECT_EQ(retry.get_stats().not_retryable, 1u);
}

TEST_F(RetryIfTest, WhatItThrowsEndsTheCallWithTheErrorItWasAskedAbout) {
    auto retry = with({}, {.retry_if = [](const Error&) -> bool { throw std::logic_error{"bug"}; }});
    operation.fails(network);

    const auto result = execute(retry);

    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(result.error(), Errc::connect_failed);
    EXPECT_EQ(retry.get_stats().callback_threw, 1u);
    EXPECT_EQ(retry.get_stats().given_up, 1u);
    EXPECT_EQ(observer->given_up().back().why, "a callback threw");
}

TEST_F(RetryIfTest, DoesNotBringBackACallThatItsCallerCancels) {
    auto retry = with({}, {.retry_if = [](const Error&) { return true; }});
    operation.hangs();
    const auto call = testing::start(io, retry.execute_with_retry(operation));

    call.cancel(asio::cancellation_type::terminal);
    io.poll();

    EXPECT_EQ(call.value().error(), ErrorType::cancelled);
    EXPECT_EQ(operation.calls(), 1u);
}

using AttemptTimeoutTest = RetryExecutorTest;

TEST_F(AttemptTimeoutTest, IsAskedBeforeEveryTry) {
    struct Asked {
        std::uint32_t attempt;
        Duration remaining;
        bool operator==(const Asked&) const = default;
    };
    std::vector<Asked> asked;
    auto retry = with({.backoff_strategy = FixedInterval{1s}, .attempt_timeout = 1ns},
                      {.attempt_timeout = [&](std::uint32_t attempt, Duration remaining) {
                          asked.push_back({attempt, remaining});
                          return remaining / 2;
                      }});
    operation.hangs().hangs().returns(7);

    EXPECT_EQ(execute(retry, {.deadline = start + 21s}).value(), 7);

    EXPECT_THAT(calls(), ElementsAre(0s, 11500ms, 17250ms));
    EXPECT_THAT(asked, ElementsAre(Asked{1, 21s}, Asked{2, 9500ms}, Asked{3, 3750ms}));
}

TEST_F(AttemptTimeoutTest, WithoutADeadlineThereIsTheLongestTimeLeft) {
    Duration left{};
    auto retry = with({}, {.attempt_timeout = [&](std::uint32_t, Duration remaining) {
                          left = remaining;
                          return remaining;
                      }});
    operation.takes(50min).returns(7);

    EXPECT_EQ(execute(retry).value(), 7);
    EXPECT_EQ(left, Duration::max());
}

TEST_F(AttemptTimeoutTest, IsAtLeastANanosecond) {
    for (const auto answer : {Duration::zero(), Duration{-1s}, Duration::min()}) {
        auto retry = with({.max_retries = 0}, {.attempt_timeout = [=](std::uint32_t, Duration) { return answer; }});
        testing::ScriptedOperation<int> slow{time};
        slow.takes(1s).returns(1);
        const auto before = time.now();

        const auto result = run(io, time, retry.execute_with_retry(slow));

        EXPECT_EQ(*result.error().inner(), Errc::deadline_exceeded);
        EXPECT_EQ(slow.calls(), 1u);
        EXPECT_EQ(time.now(), before + 1ns);
    }
}

TEST_F(AttemptTimeoutTest, WhatItThrowsEndsTheCall) {
    const RetryBudget budget;
    auto retry = with({}, {.budget = budget, .attempt_timeout = [](std::uint32_t attempt, Duration) -> Duration {
                               if (attempt == 2) throw std::logic_error{"bug"};
                               return 1s;
                           }});
    operation.fails(network);

    const auto result = execute(retry);

    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_THROW(result.value(), std::logic_error);
    EXPECT_EQ(result.error().attempts(), 1u);
    ASSERT_NE(result.error().inner(), nullptr);
    EXPECT_EQ(*result.error().inner(), Errc::connect_failed);
    ASSERT_EQ(observer->given_up().size(), 1u);
    EXPECT_EQ(observer->given_up()[0].why, "a callback threw");
    EXPECT_EQ(observer->given_up()[0].attempts, 1u);
    EXPECT_EQ(observer->given_up()[0].error, Errc::operation_failed);
    EXPECT_EQ(retry.get_stats().calls, 1u);
    EXPECT_EQ(retry.get_stats().callback_threw, 1u);
    EXPECT_EQ(retry.get_stats().cancelled, 0u);
    EXPECT_EQ(budget.get_stats(time.now()).retries, 0u) << "it made none";
}

TEST_F(AttemptTimeoutTest, WhatItThrowsBeforeTheFirstTryLeavesNothingToCount) {
    auto retry =
        with({}, {.attempt_timeout = [](std::uint32_t, Duration) -> Duration { throw std::logic_error{"bug"}; }});
    operation.returns(1);

    const auto result = execute(retry);

    EXPECT_THROW(result.value(), std::logic_error);
    EXPECT_EQ(result.error().attempts(), 0u);
    EXPECT_EQ(result.error().inner(), nullptr);
    EXPECT_TRUE(observer->given_up().empty());
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(retry.get_stats().calls, 0u);
    EXPECT_EQ(retry.get_stats().given_up, 0u);
    EXPECT_EQ(retry.get_stats().cancelled, 0u);
}

// Tries everything inside of it twice more, at once.
struct Again {
    struct Guard {
        explicit Guard(Again&) noexcept {}
        Decision before(CallContext&) { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, Error&) noexcept {
            return left-- > 0 ? Verdict::again_at(TimePoint::min()) : Verdict::pass_on();
        }

        int left = 2;
    };
};

using RetryInsideAgainTest = RetryExecutorTest;

TEST_F(RetryInsideAgainTest, EveryTryOfAPolicyFurtherOutIsACallWithAllItsTries) {
    Again again;
    for (const bool prepares : {false, true}) {
        testing::ScriptedOperation<int> fails{time};
        fails.fails(network);
        std::vector<std::uint32_t> attempts;
        RetryOptions options;
        if (prepares) options.on_attempt = [&](const RetryAttempt& attempt) { attempts.push_back(attempt.number); };
        auto retry = with({.max_retries = 2}, options);
        Pipeline guarded{again, retry};
        const auto before = time.now();

        const auto result = run(io, time, guarded.execute(fails));

        EXPECT_EQ(fails.calls(), 9u);
        EXPECT_EQ(time.now(), before + 3 * 300ms) << "100 and 200 ms each time";
        EXPECT_EQ(result.error(), Errc::retries_exhausted);
        EXPECT_EQ(result.error().attempts(), 3u);
        EXPECT_EQ(retry.get_stats().calls, 3u);
        EXPECT_EQ(retry.get_stats().exhausted, 3u);
        EXPECT_EQ(retry.get_stats().retries, 6u);
        if (!prepares) continue;
        EXPECT_THAT(attempts, ElementsAre(1, 2, 3, 1, 2, 3, 1, 2, 3));
    }
}

TEST_F(RetryInsideAgainTest, TheDeadlineOfATryThatHasEndedBoundsNoWaitFurtherOut) {
    Again again;
    Bulkhead<testing::ManualTime> one{BulkheadConfig{.max_concurrent = 1, .max_waiting = 1}, time};
    auto retry = with({.max_retries = 0, .attempt_timeout = 100ms});
    Pipeline guarded{again, one, retry};
    operation.hangs().returns(7);
    const auto call = testing::start(io, guarded.execute(operation));
    BulkheadPermit another;
    one.async_acquire(asio::bind_executor(io, [&](Result<BulkheadPermit> permit) { another = std::move(*permit); }));

    time.run_for(io, 1s);
    ASSERT_TRUE(another) << "has the place of the first try";
    ASSERT_FALSE(call.ended());
    another.give_back();
    time.run_for(io, 1s);

    EXPECT_EQ(call.value().value(), 7);
}

// Wants another try at a time of its own.
struct AgainAt {
    struct Guard {
        explicit Guard(AgainAt& policy) noexcept : at(policy.at) {}
        Decision before(CallContext&) { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, Error&) noexcept { return Verdict::again_at(at); }

        TimePoint at;
    };
    const testing::ManualTime& time() const noexcept { return clock; }

    testing::ManualTime clock;
    TimePoint at;
};

TEST_F(RetryInsideAgainTest, ATryThatWouldBeginAtTheDeadlineIsNotWaitedFor) {
    AgainAt again{time, start + 5s};
    Pipeline guarded{again};
    operation.fails(network);

    const auto result = run(io, time, guarded.execute(operation, start + 5s));

    EXPECT_EQ(result.error(), Errc::connect_failed);
    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(time.now(), start);
}

class OnAttemptTest : public RetryExecutorTest {
  protected:
    // `2 network again 200`: its number, the type of its error, what follows, and in how many milliseconds.
    RetryOptions writing_down(std::optional<RetryBudget> budget = std::nullopt) {
        return {.budget = std::move(budget), .on_attempt = [this](const RetryAttempt& attempt) {
                    auto line = std::to_string(attempt.number);
                    line += attempt.error ? " " + std::string{to_string(attempt.error->type())} : " ok";
                    if (attempt.choice) line += " " + std::string{to_string(*attempt.choice)};
                    if (attempt.next_delay) line += " " + std::to_string(*attempt.next_delay / 1ms);
                    told.push_back(line);
                }};
    }

    std::vector<std::string> told;
};

TEST_F(OnAttemptTest, IsToldOfEveryTryAndWhatFollows) {
    auto retry = with({}, writing_down());
    operation.fails(network).fails(network).returns(1);
    execute(retry);
    EXPECT_THAT(told, ElementsAre("1 network again 100", "2 network again 200", "3 ok"));
}

TEST_F(OnAttemptTest, IsToldOfASuccessInTheFirstTry) {
    auto retry = with({}, writing_down());
    operation.returns(1);
    execute(retry);
    EXPECT_THAT(told, ElementsAre("1 ok"));
}

TEST_F(OnAttemptTest, IsToldWhyThereIsNoOtherTry) {
    auto retry = with({.max_retries = 1}, writing_down(RetryBudget{{.ratio = 0, .reserve_per_second = 0.1}}));
    operation.fails(bad_request).fails(network).fails(network);
    execute(retry);
    execute(retry, {.deadline = time.now() + 1ms});
    execute(retry);
    execute(retry);
    EXPECT_THAT(
        told, ElementsAre("1 bad_request not retryable", "1 network no time before the deadline", "1 network again 100",
                          "2 network retries exhausted", "1 network retry budget exhausted"));
}

TEST_F(OnAttemptTest, IsToldBeforeTheWait) {
    auto retry = with({}, writing_down());
    operation.fails(network);
    const auto call = testing::start(io, retry.execute_with_retry(operation));
    EXPECT_FALSE(call.ended());
    EXPECT_THAT(told, ElementsAre("1 network again 100"));
    let_calls_end();
}

TEST_F(OnAttemptTest, IsToldOfATryOnceEvenIfTheCallWakesTooLate) {
    auto retry = with({}, writing_down());
    operation.fails(network);
    const auto call = testing::start(io, retry.execute_with_retry(operation, {.deadline = start + 150ms}));
    time.advance(200ms);
    io.restart();
    io.poll();
    EXPECT_TRUE(call.ended());
    EXPECT_THAT(told, ElementsAre("1 network again 100"));
}

TEST_F(OnAttemptTest, IsToldOfATryThatAnotherPolicyRefused) {
    auto retry = with({}, writing_down());
    CircuitBreaker breaker{"open", CircuitBreakerConfig{}, nullptr, time};
    breaker.force_open();
    Pipeline guarded{retry, breaker};
    operation.returns(1);
    run(io, time, guarded.execute(operation));
    EXPECT_THAT(told, ElementsAre("1 resource_exhausted not retryable"));
}

TEST_F(OnAttemptTest, IsToldOfATryThatTheCallerCancels) {
    auto retry = with({}, writing_down());
    operation.hangs();
    const auto call = testing::start(io, retry.execute_with_retry(operation));
    call.cancel(asio::cancellation_type::terminal);
    io.poll();
    EXPECT_THAT(told, ElementsAre("1 cancelled not retryable"));
}

} // namespace
} // namespace velostream::retry_executor_options_test
