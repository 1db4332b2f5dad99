// SPDX-License-Identifier: Apache-2.0
#include "velostream/pipeline.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/run_coroutine.hpp"
#include "velostream/testing/recording_observer.hpp"
#include "velostream/testing/scripted_operation.hpp"

namespace velostream::pipeline_test {
namespace {

using namespace std::chrono_literals;

class PipelineTest : public ::testing::Test {
  protected:
    asio::io_context io;
    testing::ManualTime time;
    std::shared_ptr<testing::RecordingObserver> observer = std::make_shared<testing::RecordingObserver>();
    CircuitBreaker<testing::ManualTime> breaker{
        "orders", {.failure_threshold = 2, .success_threshold = 1, .timeout = 10s}, observer, time};
    RetryExecutor<testing::ManualTime> retry{RetryConfig{.max_retries = 3}, observer, time};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(PipelineTest, ReturnsTheValueOfTheOperation) {
    Pipeline guarded{retry, breaker};
    operation.returns(7);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).value(), 7);
    EXPECT_EQ(operation.calls(), 1u);
}

TEST_F(PipelineTest, RunsItsFirstPolicyOutermost) {
    Pipeline retry_outside{retry, breaker};
    operation.fails(Errc::connect_failed);

    const auto result = run(io, time, retry_outside.execute(operation));

    // The second failure opens the circuit; the third try finds it open, and that is not retried.
    EXPECT_EQ(result.error(), Errc::circuit_open);
    EXPECT_EQ(result.error().attempts(), 3u);
    EXPECT_EQ(operation.calls(), 2u);
    EXPECT_EQ(breaker.get_stats().failure_count, 2u);
}

TEST_F(PipelineTest, JudgesTheWholeCallIfTheBreakerIsOutside) {
    Pipeline breaker_outside{breaker, retry};
    operation.fails(Errc::connect_failed);

    const auto result = run(io, time, breaker_outside.execute(operation));

    EXPECT_EQ(result.error(), Errc::retries_exhausted);
    EXPECT_EQ(operation.calls(), 4u);
    EXPECT_EQ(breaker.get_stats().failure_count, 1u);
}

TEST_F(PipelineTest, ABreakerOutsideOfARetryStaysOpenForAsLongAsTheServiceAskedFor) {
    Pipeline breaker_outside{breaker, retry};
    operation.fails(Error{Errc::connect_failed}.with_retry_after(30s));

    run(io, time, breaker_outside.execute(operation));
    run(io, time, breaker_outside.execute(operation));

    EXPECT_EQ(breaker.get_stats().next_probe_at, time.now() + 30s);
}

TEST_F(PipelineTest, ARetryThatListsRefusalsWaitsForTheOpenCircuit) {
    RetryExecutor patient{RetryConfig{.max_retries = 5,
                                      .backoff_strategy = FixedInterval{100ms},
                                      .retry_on = {ErrorType::network, ErrorType::resource_exhausted}},
                          observer, time};
    Pipeline guarded{patient, breaker};
    operation.fails(Errc::connect_failed).fails(Errc::connect_failed).returns(7);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).value(), 7);

    EXPECT_EQ(operation.calls(), 3u);
    EXPECT_EQ(operation.started_at()[2] - operation.started_at()[1], 10s) << "the refusal said how long";
}

TEST_F(PipelineTest, PassesADeadlineToEveryTry) {
    Pipeline guarded{retry, breaker};
    operation.fails(Errc::connect_failed).hangs();
    const auto start = time.now();

    const auto result = run(io, time, guarded.execute(operation, start + 5s));

    EXPECT_EQ(result.error(), Errc::deadline_exceeded);
    EXPECT_EQ(time.now(), start + 5s);
    EXPECT_EQ(operation.cancelled(), 1u);
    EXPECT_EQ(breaker.get_stats().failure_count, 2u) << "a timeout is the service's failure";
}

TEST_F(PipelineTest, RunsOperationsOfEveryShape) {
    Pipeline guarded{retry, breaker};
    struct MoveOnly {
        std::unique_ptr<int> value;
        asio::awaitable<std::unique_ptr<int>> operator()() { co_return std::make_unique<int>(*value); }
    };
    bool called = false;
    const auto returns_nothing = [&called](CallContext&) -> asio::awaitable<void> {
        called = true;
        co_return;
    };
    const auto result_of_nothing = []() -> asio::awaitable<Result<void>> { co_return Errc::invalid_configuration; };

    EXPECT_EQ(*run(io, time, guarded.execute(MoveOnly{std::make_unique<int>(3)})).value(), 3);
    EXPECT_TRUE(run(io, time, guarded.execute(returns_nothing)));
    EXPECT_TRUE(called);
    EXPECT_EQ(run(io, time, guarded.execute(result_of_nothing)).error(), Errc::invalid_configuration);
}

TEST_F(PipelineTest, IsCopiedAsReferencesToItsPolicies) {
    const Pipeline guarded{retry, breaker};
    const auto copy = guarded;
    operation.fails(Errc::invalid_configuration);

    run(io, time, copy.execute(operation));

    EXPECT_EQ(breaker.get_stats().failure_count, 1u);
}

// A policy of a user's own, as async/policy.hpp describes it: one call at a time, the others wait.
class OneAtATime {
  public:
    explicit OneAtATime(bool waits) : waits_(waits) {}

    class Guard {
      public:
        explicit Guard(OneAtATime& policy) noexcept : policy_(policy) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() { leave(); }

        Decision before(CallContext&) {
            if (!policy_.busy_) {
                enter();
                return Decision::proceed();
            }
            return policy_.waits_ ? Decision::wait() : Decision::refuse(Errc::bulkhead_full);
        }
        asio::awaitable<Decision> wait(CallContext&) {
            co_await policy_.queue_.async_wait(asio::deferred);
            enter();
            co_return Decision::proceed();
        }
        void after_success(CallContext&) noexcept { leave(); }
        Verdict after_failure(CallContext&, Error& error) {
            leave();
            error = error.with_detail("told to one_at_a_time");
            return Verdict::pass_on();
        }

      private:
        void enter() { policy_.busy_ = entered_ = true; }
        void leave() {
            if (!std::exchange(entered_, false)) return;
            policy_.busy_ = false;
            policy_.queue_.wake_one();
        }

        OneAtATime& policy_;
        bool entered_ = false;
    };

    bool is_busy() const { return busy_; }

  private:
    bool waits_;
    bool busy_ = false;
    WaitQueue queue_;
};

// A temporary policy would be gone before the first call.
static_assert(std::is_constructible_v<Pipeline<RetryExecutor<>>, RetryExecutor<>&>);
static_assert(!std::is_constructible_v<Pipeline<RetryExecutor<>>, RetryExecutor<>>);

// What is no policy makes no pipeline, and what is no operation no call; as questions, so that nothing else breaks.
// (What is refused with a sentence of ours stands in tests/refused.)
struct HalfAPolicy {
    struct Guard {
        explicit Guard(HalfAPolicy&) {}
        Decision before(CallContext&) { return Decision::proceed(); }
    };
};
template <class... Policies>
concept MakesAPipeline = requires(Policies&... policies) { Pipeline{policies...}; };
template <class Operation>
concept MakesACall =
    requires(const Pipeline<RetryExecutor<>>& guarded, Operation operation) { guarded.execute(operation); };
static_assert(MakesAPipeline<RetryExecutor<>, OneAtATime>);
static_assert(!MakesAPipeline<RetryExecutor<>, int> && !MakesAPipeline<HalfAPolicy> && !MakesAPipeline<RetryConfig>);
static_assert(MakesACall<testing::ScriptedOperation<int>> && !MakesACall<int> && !MakesACall<int (*)()>);

static_assert(CallPolicy<OneAtATime> && WaitingGuard<OneAtATime::Guard> && !TimedPolicy<OneAtATime>);
static_assert(TimedPolicy<RetryExecutor<>> && TimedPolicy<CircuitBreaker<>>);

TEST_F(PipelineTest, TakesAPolicyOfTheUsersOwn) {
    OneAtATime gate{false};
    Pipeline guarded{retry, gate, breaker};
    testing::ScriptedOperation<int> slow{time};
    slow.takes(1s).returns(1);
    operation.returns(2);

    const auto first = testing::start(io, guarded.execute(slow));
    const auto refused = run(io, time, guarded.execute(operation));

    EXPECT_EQ(refused.error(), Errc::bulkhead_full);
    EXPECT_EQ(operation.calls(), 0u);
    time.run_for(io, 1s);
    EXPECT_EQ(first.value().value(), 1);
    EXPECT_FALSE(gate.is_busy());
}

TEST_F(PipelineTest, AwaitsAPolicyThatWaits) {
    OneAtATime gate{true};
    Pipeline guarded{gate, breaker};
    operation.takes(1s).returns(1);

    const auto first = testing::start(io, guarded.execute(operation));
    const auto second = testing::start(io, guarded.execute(operation));
    const auto third = testing::start(io, guarded.execute(operation));
    EXPECT_EQ(operation.calls(), 1u);
    time.run_for(io, 3s);

    EXPECT_TRUE(first.ended() && second.ended() && third.ended());
    EXPECT_EQ(operation.started_at()[2] - operation.started_at()[0], 2s);
    EXPECT_FALSE(gate.is_busy());
}

// Waits for a second, and then refuses.
class WaitsInVain {
  public:
    explicit WaitsInVain(testing::ManualTime time) : time_(std::move(time)) {}

    class Guard {
      public:
        explicit Guard(WaitsInVain& policy) noexcept : time_(policy.time_) {}
        Decision before(CallContext&) noexcept { return Decision::wait(); }
        asio::awaitable<Decision> wait(CallContext&) {
            const auto executor = co_await asio::this_coro::executor;
            auto sleep = async_sleep_until(time_, executor, time_.now() + 1s, asio::as_tuple(asio::deferred));
            co_await std::move(sleep);
            co_return Decision::refuse(Errc::bulkhead_full);
        }
        void after_success(CallContext&) noexcept { ADD_FAILURE(); }
        Verdict after_failure(CallContext&, Error&) {
            ADD_FAILURE() << "told about its own refusal";
            return Verdict::pass_on();
        }

      private:
        testing::ManualTime time_;
    };

  private:
    testing::ManualTime time_;
};

TEST_F(PipelineTest, APolicyThatWaitedMayRefuse) {
    WaitsInVain full{time};
    Pipeline guarded{breaker, full, retry};
    operation.returns(1);
    const auto start = time.now();

    const auto result = run(io, time, guarded.execute(operation));

    EXPECT_EQ(result.error(), Errc::bulkhead_full);
    EXPECT_EQ(time.now(), start + 1s);
    EXPECT_EQ(operation.calls(), 0u);
    EXPECT_EQ(breaker.get_stats().throttled, 1u) << "those outside of it are told";
    EXPECT_EQ(retry.get_stats().calls, 0u) << "those inside are not asked";
}

TEST_F(PipelineTest, APolicyMayChangeTheError) {
    OneAtATime gate{false};
    Pipeline guarded{gate, breaker};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).error().detail(), "told to one_at_a_time");
}

// Writes down what it is asked and told.
class Witness {
  public:
    Witness(std::string name, std::string& log, bool throws = false)
        : name_(std::move(name)), log_(log), throws_(throws) {}

    class Guard {
      public:
        explicit Guard(Witness& witness) : witness_(witness) {}
        Decision before(CallContext&) {
            if (witness_.throws_) throw std::logic_error{"bug"};
            witness_.log_ += ">" + witness_.name_;
            return Decision::proceed();
        }
        void after_success(CallContext&) noexcept { witness_.log_ += "+" + witness_.name_; }
        Verdict after_failure(CallContext&, const Error&) {
            witness_.log_ += "-" + witness_.name_;
            return Verdict::pass_on();
        }

      private:
        Witness& witness_;
    };

  private:
    std::string name_;
    std::string& log_;
    bool throws_;
};

TEST_F(PipelineTest, AsksFromOutsideInAndTellsFromInsideOut) {
    std::string log;
    Witness a{"a", log}, b{"b", log}, c{"c", log};
    Pipeline guarded{a, b, c};
    operation.returns(1).fails(Errc::connect_failed);

    run(io, time, guarded.execute(operation));
    EXPECT_EQ(std::exchange(log, ""), ">a>b>c+c+b+a");

    run(io, time, guarded.execute(operation));
    EXPECT_EQ(log, ">a>b>c-c-b-a");
}

TEST_F(PipelineTest, ARetryGoesForwardAgainFromItselfInwards) {
    std::string log;
    Witness a{"a", log}, b{"b", log};
    Pipeline guarded{a, retry, b};
    operation.fails(Errc::connect_failed).returns(1);

    run(io, time, guarded.execute(operation));

    EXPECT_EQ(log, ">a>b-b>b+b+a");
}

TEST_F(PipelineTest, ARefusalIsToldOnlyToThoseOutsideOfIt) {
    std::string log;
    Witness a{"a", log}, b{"b", log};
    Pipeline guarded{a, breaker, b};
    breaker.force_open();
    operation.returns(1);

    run(io, time, guarded.execute(operation));

    EXPECT_EQ(log, ">a-a");
}

// Throws at the move that the test says.
class Unmovable {
  public:
    struct Script {
        int moves = 0;
        int moves_until_throw = 0; // 0: none throws
    };

    explicit Unmovable(Script& script) : script_(&script) {}
    Unmovable(Unmovable&& other) : script_(other.script_) {
        if (++script_->moves == script_->moves_until_throw) throw std::runtime_error{"cannot be moved"};
    }
    Unmovable& operator=(Unmovable&&) = delete;
    ~Unmovable() = default;

  private:
    Script* script_;
};

TEST_F(PipelineTest, ASuccessWhoseValueCannotBeMovedToTheCallerIsJudgedOnce) {
    std::string log;
    Witness a{"a", log};
    Pipeline guarded{a, breaker};
    Unmovable::Script script;
    const auto make = [&]() -> asio::awaitable<Unmovable> { co_return Unmovable{script}; };
    const auto call = [&]() -> asio::awaitable<std::string> {
        try {
            auto running = guarded.execute(make);
            const auto result = co_await std::move(running);
            co_return result ? "value" : "error";
        } catch (const std::runtime_error&) {
            co_return "thrown";
        }
    };
    ASSERT_EQ(run(io, time, call()), "value");
    const int moves = script.moves;

    int thrown_to_the_caller = 0;
    for (int failing = 1; failing <= moves; ++failing) {
        script = {.moves_until_throw = failing};
        log.clear();
        const auto ended = run(io, time, call());
        EXPECT_EQ(log, ended == "error" ? ">a-a" : ">a+a") << "move " << failing << ": " << ended;
        if (ended == "thrown") ++thrown_to_the_caller;
        breaker.reset();
    }

    EXPECT_GE(thrown_to_the_caller, 1);
}

// Asks for another try after each failure, in 10 s.
class Insistent {
  public:
    explicit Insistent(testing::ManualTime time) : time_(std::move(time)) {}
    const testing::ManualTime& time() const noexcept { return time_; }

    class Guard {
      public:
        explicit Guard(Insistent& policy) noexcept : policy_(policy) {}
        Decision before(CallContext&) noexcept { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, Error&) {
            ++policy_.told;
            return Verdict::again_at(policy_.time_.now() + 10s);
        }

      private:
        Insistent& policy_;
    };

    int told = 0;

  private:
    testing::ManualTime time_;
};

TEST_F(PipelineTest, APolicyThatAsksForAnotherTryAfterTheDeadlineIsToldOnceMoreAndGetsNone) {
    Insistent insistent{time};
    Pipeline guarded{breaker, insistent};
    operation.fails(Errc::connect_failed);
    const auto begin = time.now();

    const auto result = run(io, time, guarded.execute(operation, begin + 15s));

    EXPECT_EQ(result.error(), Errc::connect_failed);
    EXPECT_EQ(operation.started_at(), (std::vector{begin, begin + 10s}));
    EXPECT_EQ(time.now(), begin + 10s) << "it does not wait for a try that would come too late";
    EXPECT_EQ(insistent.told, 3);
    EXPECT_EQ(breaker.get_stats().failure_count, 1u);
}

// Cannot take being told of a failure.
class Fragile {
  public:
    class Guard {
      public:
        explicit Guard(Fragile&) noexcept {}
        Decision before(CallContext&) noexcept { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, Error&) { throw std::logic_error{"broken policy"}; }
    };
};

TEST_F(PipelineTest, WhatAGuardThrowsAfterAFailureEndsTheCall) {
    Fragile fragile;
    Pipeline guarded{breaker, retry, fragile};
    operation.fails(Errc::connect_failed);

    EXPECT_THROW(run(io, time, guarded.execute(operation)), std::logic_error);

    EXPECT_EQ(operation.calls(), 1u);
    EXPECT_EQ(breaker.get_stats().cancelled, 1u) << "what was taken is given back";
    EXPECT_EQ(retry.get_stats().cancelled, 1u);
}

TEST_F(PipelineTest, WhatAGuardThrowsBecomesTheErrorOfTheTry) {
    std::string log;
    Witness a{"a", log}, broken{"broken", log, true};
    Pipeline guarded{a, broken};
    operation.returns(1);

    const auto result = run(io, time, guarded.execute(operation));

    EXPECT_EQ(result.error(), Errc::operation_failed);
    EXPECT_THROW(result.value(), std::logic_error);
    EXPECT_EQ(log, ">a-a");
    EXPECT_EQ(operation.calls(), 0u);
}

} // namespace
} // namespace velostream::pipeline_test
