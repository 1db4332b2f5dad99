// SPDX-License-Identifier: Apache-2.0
#include "velostream/hedge.hpp"

#include <gtest/gtest.h>

#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "support/sleepless_time.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using asio::cancellation_type;
using testing::ManualTime;

class HedgeTest : public ::testing::Test {
  protected:
    template <class... Policies, class Operation>
    auto call(Pipeline<Policies...> guarded, Operation called) {
        return run(io, time, guarded.execute(idempotent(called)));
    }
    void expect_nothing_left() {
        EXPECT_EQ(operation.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
    }

    asio::io_context io;
    ManualTime time;
    const TimePoint start = time.now();
    Hedge<ManualTime> hedge{HedgeConfig{.delay = 1s, .max_hedges = 2}, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(HedgeTest, MakesOneCallIfThatIsQuick) {
    operation.takes(1s - 1ns).returns(7);

    EXPECT_EQ(call(Pipeline{hedge}, operation).value(), 7);

    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(hedge.get_stats().calls, 1u);
    EXPECT_EQ(hedge.get_stats().hedges, 0u);
    EXPECT_EQ(hedge.get_stats().won, 0u);
    expect_nothing_left();
}

TEST_F(HedgeTest, WithoutMemoryForItsAlarmMakesNoFurtherCall) {
    testing::SleeplessTime poor;
    testing::ScriptedOperation<int> slow{poor};
    slow.takes(10s).returns(1).takes(10s).returns(2).takes(1s).returns(3);
    Hedge hedged{HedgeConfig{.delay = 1s, .max_hedges = 2}, poor};
    Pipeline guarded{hedged};

    poor.set_has_no_memory(true);
    const auto without_any = testing::start(io, guarded.execute(idempotent(slow)));
    poor.set_has_no_memory(false);
    poor.run_for(io, 10s);
    ASSERT_TRUE(without_any.ended());
    EXPECT_EQ(without_any.value().value(), 1);
    EXPECT_EQ(hedged.get_stats().hedges, 0u);

    testing::ScriptedOperation<int> failing{poor};
    failing.takes(1s).fails(Errc::connect_failed).returns(2);
    poor.set_has_no_memory(true);
    const auto failed = testing::start(io, guarded.execute(idempotent(failing)));
    poor.set_has_no_memory(false);
    poor.run_for(io, 1s);
    EXPECT_EQ(failed.value().error(), Errc::connect_failed);
    EXPECT_EQ(failing.calls(), 1u);

    const auto with_one = testing::start(io, guarded.execute(idempotent(slow)));
    poor.set_has_no_memory(true);
    poor.run_for(io, 10s);
    ASSERT_TRUE(with_one.ended());
    EXPECT_EQ(with_one.value().value(), 3);
    EXPECT_EQ(hedged.get_stats().hedges, 1u);
}

TEST_F(HedgeTest, MakesAnotherCallAfterTheDelayAndTakesTheFirstAnswer) {
    operation.takes(10s).returns(1).takes(2s).returns(2);

    EXPECT_EQ(call(Pipeline{hedge}, operation).value(), 2);

    EXPECT_EQ(operation.started_at(), (std::vector{start, start + 1s, start + 2s}));
    EXPECT_EQ(time.now(), start + 3s);
    EXPECT_EQ(operation.cancelled(), 2u) << "the others";
    EXPECT_EQ(hedge.get_stats().hedges, 2u);
    EXPECT_EQ(hedge.get_stats().won, 1u);
    expect_nothing_left();
}

TEST_F(HedgeTest, TheFirstCallMayStillWin) {
    operation.takes(1500ms).returns(1).takes(10s).returns(2);

    EXPECT_EQ(call(Pipeline{hedge}, operation).value(), 1);

    EXPECT_EQ(operation.calls(), 2u);
    EXPECT_EQ(operation.cancelled(), 1u);
    EXPECT_EQ(hedge.get_stats().won, 0u);
    expect_nothing_left();
}

TEST_F(HedgeTest, AnAttemptThatIgnoresItsCancellationDoesNotReplaceTheFirstAnswer) {
    int attempts = 0;
    const auto first_goes_on = [&]() -> asio::awaitable<int> {
        const int number = ++attempts;
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        const auto executor = co_await asio::this_coro::executor;
        auto sleep = async_sleep_until(time, executor, start + 2500ms / number, asio::deferred);
        co_await std::move(sleep);
        co_return number;
    };

    EXPECT_EQ(call(Pipeline{hedge}, first_goes_on).value(), 2);

    EXPECT_EQ(time.now(), start + 2500ms) << "it was waited for";
    EXPECT_EQ(hedge.get_stats().won, 1u);
    expect_nothing_left();
}

TEST_F(HedgeTest, OneThatFailsAtOnceIsFollowedAtOnceWithoutAnyAlarm) {
    operation.fails(Errc::connect_failed).fails(Errc::connect_failed).returns(3);

    EXPECT_EQ(call(Pipeline{hedge}, operation).value(), 3);

    EXPECT_EQ(operation.started_at(), (std::vector{start, start, start}));
    EXPECT_EQ(time.now(), start);
    expect_nothing_left();
}

// An answer that can be watched: how many of them there are.
class Answer {
  public:
    Answer() = default;
    Answer(int number, std::shared_ptr<int> alive) : number_(number), alive_(std::move(alive)) { ++*alive_; }
    Answer(Answer&& other) noexcept : number_(other.number_), alive_(std::exchange(other.alive_, nullptr)) {}
    Answer& operator=(Answer&&) = delete;
    ~Answer() {
        if (alive_) --*alive_;
    }
    int number() const noexcept { return number_; }

  private:
    int number_ = 0;
    std::shared_ptr<int> alive_; // null once it was moved
};

TEST_F(HedgeTest, TheAnswerGoesToTheCallerAndNoneStaysWithThoseThatLost) {
    const auto answers = std::make_shared<int>(0);
    int attempts = 0;
    const auto deaf = [&]() -> asio::awaitable<Answer> {
        const int number = ++attempts;
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        const auto executor = co_await asio::this_coro::executor;
        // The first takes 10 s, the second answers in 2, the third in 6.
        auto sleep =
            async_sleep_until(time, executor, start + Duration{4s} * (number == 1 ? 3 : number) - 2s, asio::deferred);
        co_await std::move(sleep);
        co_return Answer{number, answers};
    };
    Pipeline guarded{hedge};
    const auto started = testing::start(io, guarded.execute(idempotent(deaf)));
    time.run_for(io, 7s);
    ASSERT_FALSE(started.ended());
    EXPECT_EQ(*answers, 1) << "that of the winner";
    time.run_for(io, 3s);

    ASSERT_TRUE(started.ended());
    EXPECT_EQ(started.value().value().number(), 2);
    EXPECT_EQ(*answers, 1);
    expect_nothing_left();
}

TEST_F(HedgeTest, StartsTheNextAtOnceWhenOneFails) {
    const Error away{boost::system::errc::make_error_code(boost::system::errc::resource_unavailable_try_again)};
    ASSERT_EQ(away, ErrorType::service_unavailable);
    for (const Error& why : {Error{Errc::connect_failed}, Error{Errc::send_timeout}, away}) {
        const auto begun = time.now();
        testing::ScriptedOperation<int> failing{time};
        failing.takes(100ms).fails(why).returns(2);

        EXPECT_EQ(call(Pipeline{hedge}, failing).value(), 2);

        EXPECT_EQ(failing.started_at(), (std::vector{begun, begun + 100ms})) << why;
    }
    expect_nothing_left();
}

TEST_F(HedgeTest, TheDelayCountsFromTheAttemptBeforeAlsoWhereThatBeganForAFailure) {
    operation.takes(100ms).fails(Errc::connect_failed).takes(10s).returns(2).takes(1s).returns(3);

    EXPECT_EQ(call(Pipeline{hedge}, operation).value(), 3);

    EXPECT_EQ(operation.started_at(), (std::vector{start, start + 100ms, start + 1100ms}));
    expect_nothing_left();
}

TEST_F(HedgeTest, StartsNoneForAFailureThatAnotherTryWouldNotMend) {
    operation.takes(100ms).fails(Errc::invalid_configuration).returns(2);

    EXPECT_EQ(call(Pipeline{hedge}, operation).error(), Errc::invalid_configuration);

    EXPECT_EQ(operation.calls(), 1u);
    expect_nothing_left();
}

TEST_F(HedgeTest, FailsAsTheFirstCallIfAllFail) {
    operation.takes(5s).fails(Errc::connect_failed).fails(Errc::send_timeout);

    EXPECT_EQ(call(Pipeline{hedge}, operation).error(), Errc::connect_failed);

    EXPECT_EQ(operation.calls(), 3u) << "no more than allowed";
    EXPECT_EQ(time.now(), start + 5s) << "the first might have succeeded";
    EXPECT_EQ(hedge.get_stats().won, 0u);
    expect_nothing_left();
}

TEST_F(HedgeTest, TurnsAnExceptionIntoAnError) {
    operation.throws(std::runtime_error{"no"});

    const auto result = call(Pipeline{hedge}, operation);

    EXPECT_EQ(result.error(), Errc::operation_failed);
    EXPECT_THROW(static_cast<void>(result.value()), std::runtime_error);
}

TEST_F(HedgeTest, PoliciesInsideGuardEachAttemptAndPoliciesOutsideTheCall) {
    CircuitBreaker<ManualTime> inside{"inside", {.failure_threshold = 9}, nullptr, time};
    CircuitBreaker<ManualTime> outside{"outside", {.failure_threshold = 9}, nullptr, time};
    operation.takes(100ms).fails(Errc::connect_failed).returns(2);

    EXPECT_EQ(call(Pipeline{outside, hedge, inside}, operation).value(), 2);

    EXPECT_EQ(inside.get_stats().window_calls, 2u);
    EXPECT_EQ(inside.get_stats().failure_count, 1u);
    EXPECT_EQ(outside.get_stats().window_calls, 1u);
    EXPECT_EQ(outside.get_stats().failure_count, 0u);
}

TEST_F(HedgeTest, AnAttemptThatLostIsNotJudgedByThePoliciesInside) {
    CircuitBreaker<ManualTime> inside{"inside", {.failure_threshold = 1}, nullptr, time};
    const auto answers_cancellation = [&]() -> asio::awaitable<Result<int>> {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto running = operation();
        auto result = co_await std::move(running);
        if (!result) co_return Errc::connect_failed;
        co_return result;
    };
    operation.takes(10s).returns(1).takes(100ms).returns(2);

    EXPECT_EQ(call(Pipeline{hedge, inside}, answers_cancellation).value(), 2);

    EXPECT_EQ(inside.state(), CircuitState::closed);
    EXPECT_EQ(inside.get_stats().cancelled, 1u);
}

TEST_F(HedgeTest, ARetryOutsideMakesTheWholeOfItAgain) {
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 1, .backoff_strategy = FixedInterval{1s}}, nullptr,
                                    time};
    Hedge<ManualTime> once{HedgeConfig{.delay = 1s, .max_hedges = 1}, time};
    operation.fails(Errc::connect_failed).fails(Errc::connect_failed).returns(3);

    EXPECT_EQ(call(Pipeline{retry, once}, operation).value(), 3);

    EXPECT_EQ(operation.started_at(), (std::vector{start, start, start + 1s}));
}

TEST_F(HedgeTest, AnAttemptKnowsTheTryThatItIsPartOfAndWhatTheCallHolds) {
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 1}, nullptr, time};
    Hedge<ManualTime> once{HedgeConfig{.delay = 1s, .max_hedges = 1}, time};
    Pipeline guarded{retry, once};
    operation.fails(Errc::connect_failed);

    run(io, time, guarded.execute(idempotent(operation.with_context()), {.held_bytes = 77}));

    std::vector<std::uint32_t> tries;
    for (const auto& context : operation.contexts()) {
        tries.push_back(context.attempt());
        EXPECT_EQ(context.held_bytes(), 77u);
        EXPECT_TRUE(context.is_idempotent());
    }
    EXPECT_EQ(tries, (std::vector<std::uint32_t>{1, 1, 2, 2}));
}

TEST_F(HedgeTest, ADeadlineEndsAllAttempts) {
    Timeout<ManualTime> timeout{5s, time};
    operation.hangs();

    const auto plain = call(Pipeline{timeout, hedge}, operation);
    const auto with_context = call(Pipeline{timeout, hedge}, operation.with_context());

    EXPECT_EQ(plain.error(), Errc::deadline_exceeded);
    EXPECT_EQ(with_context.error(), Errc::deadline_exceeded);
    EXPECT_EQ(time.now(), start + 10s);
    EXPECT_EQ(operation.cancelled(), 6u);
    expect_nothing_left();
}

TEST_F(HedgeTest, StartsNoneAfterTheDeadline) {
    const RetryBudget budget{{.ratio = 0, .reserve_per_second = 10}};
    Hedge<ManualTime> slow{HedgeConfig{.delay = 1h, .max_hedges = 2}, time, budget};
    Timeout<ManualTime> timeout{5s, time};
    operation.hangs();

    EXPECT_EQ(call(Pipeline{timeout, slow}, operation).error(), Errc::deadline_exceeded);

    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(slow.get_stats().hedges, 0u);
    EXPECT_EQ(budget.get_stats(time.now()).withdrawn, 0u);
    expect_nothing_left();
}

TEST_F(HedgeTest, TheCallersCancellationEndsAllAttempts) {
    for (const auto kind : {cancellation_type::terminal, cancellation_type::partial, cancellation_type::total}) {
        Pipeline guarded{hedge};
        testing::ScriptedOperation<int> hanging{time};
        hanging.hangs();
        const auto started = testing::start(io, guarded.execute(idempotent(hanging)));
        time.run_for(io, 1s);
        ASSERT_EQ(hanging.running(), 2u);

        started.cancel(kind);
        io.restart();
        io.poll();

        EXPECT_EQ(started.value().error(), ErrorType::cancelled);
        EXPECT_EQ(hanging.calls(), 2u) << "no further one";
        EXPECT_EQ(hanging.running(), 0u);
        EXPECT_EQ(time.sleepers(), 0u);
    }
}

TEST_F(HedgeTest, AttemptsHearOfTheKindOfTheCallersCancellation) {
    for (const auto kind : {cancellation_type::terminal, cancellation_type::partial, cancellation_type::total}) {
        auto heard = cancellation_type::none;
        const auto listens = [&]() -> asio::awaitable<Result<int>> {
            co_await asio::this_coro::throw_if_cancelled(false);
            auto running = operation();
            auto result = co_await std::move(running);
            heard = (co_await asio::this_coro::cancellation_state).cancelled();
            co_return result;
        };
        Pipeline guarded{hedge};
        operation.hangs();
        const auto started = testing::start(io, guarded.execute(idempotent(listens)));

        started.cancel(kind);
        io.restart();
        io.poll();

        EXPECT_TRUE(started.ended());
        EXPECT_EQ(heard, kind);
    }
}

TEST_F(HedgeTest, ASuccessAfterTheCallersCancellationStandsWhicheverAttemptCameToIt) {
    int attempts = 0;
    const auto second_succeeds = [&]() -> asio::awaitable<Result<int>> {
        const bool is_first = ++attempts == 1;
        co_await asio::this_coro::throw_if_cancelled(false);
        auto running = operation();
        co_await std::move(running);
        if (is_first) co_return Errc::connect_failed;
        co_return 7;
    };
    Pipeline guarded{hedge};
    operation.hangs();
    const auto started = testing::start(io, guarded.execute(idempotent(second_succeeds)));
    time.run_for(io, 1s);
    ASSERT_EQ(operation.running(), 2u);

    started.cancel(cancellation_type::terminal);
    io.restart();
    io.poll();

    EXPECT_EQ(started.value().value(), 7);
    expect_nothing_left();
}

TEST_F(HedgeTest, AttemptsGoWithTheirContext) {
    std::optional<asio::io_context> ending{std::in_place};
    Pipeline guarded{hedge};
    operation.hangs();
    const auto started = testing::start(*ending, guarded.execute(idempotent(operation)));
    time.run_for(*ending, 1s);
    ASSERT_EQ(operation.running(), 2u);

    ending.reset();

    expect_nothing_left();
}

TEST_F(HedgeTest, OnSeveralThreadsEveryCallEndsOnce) {
    asio::thread_pool threads{4};
    Hedge<SteadyTime> quick{HedgeConfig{.delay = 0s, .max_hedges = 3}};
    Pipeline guarded{quick};
    const auto ready = idempotent([]() -> asio::awaitable<int> {
        co_await asio::post(asio::use_awaitable);
        co_return 7;
    });
    std::vector<std::future<Result<int>>> results;
    for (int i = 0; i < 500; ++i) results.push_back(asio::co_spawn(threads, guarded.execute(ready), asio::use_future));

    for (auto& result : results) EXPECT_EQ(result.get().value(), 7);
    threads.join();
    EXPECT_EQ(quick.get_stats().calls, 500u);
}

TEST_F(HedgeTest, MakesNoFurtherAttemptThanItsBudgetAllows) {
    const RetryBudget budget{{.ratio = 0.5, .reserve_per_second = 0, .window = 10s}};
    Hedge<ManualTime> bounded{HedgeConfig{.delay = 1s, .max_hedges = 2}, time, budget};
    operation.takes(5s).returns(7);

    EXPECT_EQ(call(Pipeline{bounded}, operation).value(), 7);
    EXPECT_EQ(operation.calls(), 1u) << "half a retry is none";
    EXPECT_EQ(bounded.get_stats().refused, 1u);

    EXPECT_EQ(call(Pipeline{bounded}, operation).value(), 7);
    EXPECT_EQ(operation.calls(), 3u);
    EXPECT_EQ(bounded.get_stats().hedges, 1u);
    expect_nothing_left();
}

TEST_F(HedgeTest, AsksAnEmptyBudgetOnceInACall) {
    const RetryBudget budget{{.ratio = 0.5, .reserve_per_second = 0, .window = 10s}};
    Hedge<ManualTime> bounded{HedgeConfig{.delay = 1s, .max_hedges = 2}, time, budget};
    Pipeline guarded{bounded};
    operation.takes(5s).fails(Errc::connect_failed).returns(2);

    const auto started = testing::start(io, guarded.execute(idempotent(operation)));
    time.run_for(io, 2s);
    EXPECT_EQ(bounded.get_stats().refused, 1u);
    budget.record_call(time.now()); // enough for a retry
    time.run_for(io, 3s);

    EXPECT_EQ(started.value().error(), Errc::connect_failed);
    EXPECT_EQ(bounded.get_stats().refused, 1u);
    EXPECT_EQ(bounded.get_stats().hedges, 0u);
    expect_nothing_left();
}

TEST_F(HedgeTest, ACallIsCountedOnceInItsBudgetWhateverTheNumberOfItsTries) {
    const RetryBudget budget{{.ratio = 0.5, .reserve_per_second = 10}};
    const RetryConfig twice{.max_retries = 1, .backoff_strategy = FixedInterval{1ms}};
    Hedge<ManualTime> bounded{HedgeConfig{.delay = 1s, .max_hedges = 1}, time, budget};
    RetryExecutor<ManualTime> sharing{twice, RetryOptions{.budget = budget}, nullptr, time};
    RetryExecutor<ManualTime> without{twice, nullptr, time};
    operation.fails(Errc::connect_failed);

    call(Pipeline{sharing, bounded}, operation);
    EXPECT_EQ(operation.calls(), 4u) << "two attempts in each of two tries";
    EXPECT_EQ(budget.get_stats(time.now()).calls, 1u);

    call(Pipeline{without, bounded}, operation);
    EXPECT_EQ(budget.get_stats(time.now()).calls, 2u);
}

TEST_F(HedgeTest, NeedsAnAttemptAndADelay) {
    EXPECT_THROW((Hedge{HedgeConfig{.max_hedges = 0}}), std::invalid_argument);
    EXPECT_THROW((Hedge{HedgeConfig{.max_hedges = 9}}), std::invalid_argument);
    EXPECT_THROW((Hedge{HedgeConfig{.delay = -1ns}}), std::invalid_argument);
}

} // namespace
} // namespace velostream
