// SPDX-License-Identifier: Apache-2.0
// How long a call took, in the error that it ends with.
#include <gtest/gtest.h>

#include "retry_executor_fixture.hpp"
#include "support/stepping_time.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

using RetryElapsedTest = RetryExecutorTest;

TEST_F(RetryElapsedTest, CountsFromTheFirstTryWhereTheClockIsReadThen) {
    operation.takes(1s).fails(network);
    const auto expect_whole = [&](Retry&& retry, CallOptions options = {}) {
        const auto error = execute(retry, options).error();
        EXPECT_EQ(error, Errc::retries_exhausted);
        EXPECT_EQ(error.elapsed(), 2100ms);
        EXPECT_FALSE(error.elapsed_longer());
        EXPECT_NE(error.message().find("; 2 tries in 2.1 s"), std::string::npos) << error;
        EXPECT_EQ(error.inner()->elapsed(), std::nullopt) << "it is said once";
        EXPECT_EQ(observer->given_up().back().elapsed, 2100ms);
        EXPECT_FALSE(observer->given_up().back().elapsed_longer);
    };

    expect_whole(with({.max_retries = 1, .attempt_timeout = 1min}));
    expect_whole(with({.max_retries = 1, .budget = RetryBudgetConfig{}}));
    expect_whole(with({.max_retries = 1}, {.on_attempt = [](const RetryAttempt&) {}}));
    expect_whole(with({.max_retries = 1}), {.deadline = time.now() + 1h});
}

TEST_F(RetryElapsedTest, BeginsByTheCoarseClockUnlessTriesHaveTimeouts) {
    testing::SteppingTime stepping;
    const auto behind = 10ms;
    const auto elapsed = [&](const RetryConfig& config, RetryOptions settings, bool has_deadline) {
        RetryExecutor<testing::SteppingTime> retry{config, std::move(settings), nullptr, stepping};
        testing::ScriptedOperation<int> failing{stepping};
        failing.takes(1s).fails(network);
        stepping.advance(testing::SteppingTime::step - stepping.now().time_since_epoch() % testing::SteppingTime::step +
                         behind);
        const CallOptions options = has_deadline ? CallOptions{.deadline = stepping.now() + 1h} : CallOptions{};
        return run(io, stepping, retry.execute_with_retry(failing, options)).error().elapsed();
    };
    const RetryConfig once{.max_retries = 1};

    EXPECT_EQ(elapsed({.max_retries = 1, .attempt_timeout = 1min}, {}, true), 2100ms);
    EXPECT_EQ(elapsed(once, {.attempt_timeout = [](auto, Duration left) { return left; }}, false), 2100ms);
    EXPECT_EQ(elapsed(once, {}, true), 2100ms + behind);
    EXPECT_EQ(elapsed(once, {.budget = RetryBudget{}}, false), 2100ms + behind);
    EXPECT_EQ(elapsed(once, {.on_attempt = [](const RetryAttempt&) {}}, false), 2100ms + behind);
    EXPECT_EQ(elapsed(once, {}, false), 1100ms) << "from the first failure, by the exact clock";
}

TEST_F(RetryElapsedTest, CountsFromTheFirstFailureElse) {
    auto retry = with({.max_retries = 1});
    operation.takes(1s).fails(network);

    const auto error = execute(retry).error();

    EXPECT_EQ(error.elapsed(), 1100ms);
    EXPECT_TRUE(error.elapsed_longer());
    EXPECT_NE(error.message().find("; 2 tries in more than 1.1 s"), std::string::npos) << error;
    EXPECT_EQ(observer->given_up().back().elapsed, 1100ms);
    EXPECT_TRUE(observer->given_up().back().elapsed_longer);
}

TEST_F(RetryElapsedTest, IsUnknownOfASingleTryOfWhichNobodyToldTheTime) {
    auto retry = with({});
    operation.takes(1s).fails(bad_request);

    EXPECT_EQ(execute(retry).error().elapsed(), std::nullopt);
    EXPECT_EQ(observer->given_up().back().elapsed, std::nullopt);
    const auto with_deadline = execute(retry, {.deadline = time.now() + 1h}).error();
    EXPECT_EQ(with_deadline.elapsed(), 1s);
}

TEST_F(RetryElapsedTest, IsInEveryErrorThatEndsACallEarly) {
    operation.takes(1s).fails(network).takes(1s).fails(bad_request);
    auto retry = with({.attempt_timeout = 1min});
    const auto not_retryable = execute(retry).error();
    EXPECT_EQ(not_retryable, ErrorType::bad_request);
    EXPECT_EQ(not_retryable.elapsed(), 2100ms);

    operation = testing::ScriptedOperation<int>{time};
    operation.takes(1s).fails(network);
    const auto late = execute(retry, {.deadline = time.now() + 2150ms}).error();
    EXPECT_EQ(late.retry_refused_by(), Errc::deadline_exceeded);
    EXPECT_EQ(late.elapsed(), 2100ms);
    EXPECT_EQ(late.message(), Error{network}.message() +
                                  "; 2 tries in 2.1 s; not tried again: " + Error{Errc::deadline_exceeded}.message());
}

// Tries the whole call again, once.
class Again {
  public:
    class Guard {
      public:
        explicit Guard(Again&) noexcept {}
        Decision before(CallContext&) { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, Error& error) noexcept {
            return ++failures_ == 1 && error == Errc::retries_exhausted ? Verdict::again_at(TimePoint{})
                                                                        : Verdict::pass_on();
        }

      private:
        int failures_ = 0;
    };
};

TEST_F(RetryElapsedTest, BeginsAnewWhereAPolicyFurtherOutTriesAgain) {
    auto retry = with({.max_retries = 1});
    Again again;
    Pipeline guarded{again, retry};
    operation.takes(1s).fails(network);

    const auto error = run(io, time, guarded.execute(operation)).error();

    EXPECT_EQ(operation.calls(), 4u);
    EXPECT_EQ(error.attempts(), 2u);
    EXPECT_EQ(error.elapsed(), 2100ms) << "of the second two tries";
    EXPECT_FALSE(error.elapsed_longer());
}

} // namespace
} // namespace velostream
