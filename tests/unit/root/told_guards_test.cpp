// SPDX-License-Identifier: Apache-2.0
// Which policies are told how a call went, and how often, where it does not go straight in and out.
#include <gtest/gtest.h>

#include <boost/asio/cancellation_signal.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/run_coroutine.hpp"
#include "velostream/fallback.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/testing/scripted_operation.hpp"
#include "velostream/timeout.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

// Writes down what it is told.
class Told {
  public:
    Told(std::string name, std::string& log) : name_(std::move(name)), log_(log) {}

    class Guard {
      public:
        explicit Guard(Told& told) : told_(told) {}
        Decision before(CallContext&) { return Decision::proceed(); }
        void after_success(CallContext& call) noexcept {
            told_.log_ += "+" + told_.name_;
            told_.deadline = call.call_deadline();
        }
        Verdict after_failure(CallContext&, const Error& error) {
            told_.log_ += "-" + told_.name_;
            told_.last = error;
            return Verdict::pass_on();
        }

      private:
        Told& told_;
    };

    std::optional<Error> last;
    TimePoint deadline; // of the call, when it had succeeded

  private:
    std::string name_;
    std::string& log_;
};

class ToldGuardsTest : public ::testing::Test {
  protected:
    asio::io_context io;
    ManualTime time;
    std::string log;
    Told outer{"outer", log}, inner{"inner", log};
    testing::ScriptedOperation<int> operation{time};
};

TEST_F(ToldGuardsTest, ARecoveryIsASuccessOnlyForThoseFurtherOut) {
    Fallback seven{{ErrorType::network}, [](const Error&) { return 7; }};
    const Pipeline guarded{outer, seven, inner};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).value(), 7);

    EXPECT_EQ(log, "-inner+outer");
}

TEST_F(ToldGuardsTest, AFallbackIsNotAskedAgainForWhatItFailedWithItself) {
    Fallback same{{ErrorType::network}, [](const Error& error) -> Result<int> { return error; }};
    const Pipeline guarded{outer, same, inner};
    operation.fails(Errc::connect_failed);

    EXPECT_EQ(run(io, time, guarded.execute(operation)).error(), Errc::connect_failed);

    EXPECT_EQ(same.get_stats().used, 1u);
    EXPECT_EQ(log, "-inner-outer");
}

TEST_F(ToldGuardsTest, EverybodyFurtherOutHearsOfACancelledBackoffWhateverAFallbackNames) {
    RetryExecutor<ManualTime> retry{RetryConfig{}, nullptr, time};
    Fallback seven{{ErrorType::cancelled}, [](const Error&) { return 7; }};
    const Pipeline guarded{outer, seven, retry};
    operation.fails(Errc::connect_failed);

    const auto call = testing::start(io, guarded.execute(operation));
    ASSERT_EQ(time.sleepers(), 1u) << "the backoff";
    call.cancel(asio::cancellation_type::terminal);
    time.run_for(io, 1h);

    EXPECT_EQ(call.value().error(), Errc::cancelled);
    EXPECT_EQ(log, "-outer");
    EXPECT_EQ(outer.last, Errc::cancelled);
    EXPECT_EQ(seven.get_stats().used, 0u);
}

TEST_F(ToldGuardsTest, TheDeadlineOfATimeoutIsNotThatOfThoseFurtherOut) {
    Timeout timeout{5s, time};
    const Pipeline guarded{outer, timeout, inner};
    operation.returns(7);

    run(io, time, guarded.execute(operation, time.now() + 1h));

    EXPECT_EQ(inner.deadline, time.now() + 5s);
    EXPECT_EQ(outer.deadline, time.now() + 1h);
}

// Cannot be moved any more once its call has succeeded.
class Value {
  public:
    explicit Value(const std::string& log) : log_(&log) {}
    Value(Value&& other) : log_(other.log_) {
        if (!log_->empty()) throw std::runtime_error{"cannot be moved"};
    }
    Value& operator=(Value&&) = delete;
    ~Value() = default;

  private:
    const std::string* log_;
};

TEST_F(ToldGuardsTest, ASuccessInTimeWhoseValueCannotBeMovedToTheCallerIsToldOnce) {
    Timeout timeout{5s, time};
    const Pipeline guarded{timeout, outer};
    const auto make = [this]() -> asio::awaitable<Value> { co_return Value{log}; };
    const auto make_with_context = [this](CallContext&) -> asio::awaitable<Value> { co_return Value{log}; };
    const auto throws = [&](auto operation_of_value) -> asio::awaitable<bool> {
        try {
            auto running = guarded.execute(operation_of_value);
            co_await std::move(running);
            co_return false;
        } catch (const std::runtime_error&) {
            co_return true;
        }
    };

    EXPECT_TRUE(run(io, time, throws(make)));
    EXPECT_EQ(std::exchange(log, ""), "+outer");
    EXPECT_TRUE(run(io, time, throws(make_with_context)));
    EXPECT_EQ(log, "+outer");
}

} // namespace
} // namespace velostream
