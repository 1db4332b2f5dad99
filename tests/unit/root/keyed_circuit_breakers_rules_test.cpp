// SPDX-License-Identifier: Apache-2.0
// The rules of keyed circuit breakers beside those of a single breaker that has seen a key's good times, too.
#include <gtest/gtest.h>

#include <random>

#include "velostream/circuit_breaker.hpp"
#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

constexpr int key = 1;
const Error network = Errc::connect_failed;

class KeyedRulesTest : public ::testing::Test {
  protected:
    using Many = KeyedCircuitBreakers<int, testing::ManualTime>;
    using One = CircuitBreaker<testing::ManualTime>;

    static void both_succeed(Many& many, One& one, int times) {
        for (int i = 0; i < times; ++i) {
            many.try_acquire(key)->success();
            one.try_acquire()->success();
        }
    }
    static void both_fail(Many& many, One& one, int times) {
        for (int i = 0; i < times; ++i) {
            many.try_acquire(key)->failure(network);
            one.try_acquire()->failure(network);
        }
    }

    testing::ManualTime time;
};

TEST_F(KeyedRulesTest, ARateIsThatSinceTheKeysFirstFailureUntilTheWindowIsFull) {
    const CircuitBreakerConfig config{
        .failure_threshold = 100, .sliding_window_size = 100, .failure_rate_threshold = 0.5};
    Many many{"many", {.breaker = config}, nullptr, time};
    One one{config, nullptr, time};
    both_succeed(many, one, 100);
    both_fail(many, one, 1);
    both_succeed(many, one, 99);
    EXPECT_EQ(many.get_stats(key).window_calls, 100u);
    both_fail(many, one, 49);
    EXPECT_EQ(many.state(key), CircuitState::closed);
    both_fail(many, one, 1);
    EXPECT_EQ(many.state(key), CircuitState::open);
    EXPECT_EQ(one.state(), CircuitState::open);

    many.reset(key);
    one.reset();
    both_succeed(many, one, 100);
    both_fail(many, one, 10);
    EXPECT_EQ(many.state(key), CircuitState::open) << "ten of ten";
    EXPECT_EQ(one.state(), CircuitState::closed) << "ten of a hundred";
}

// What the guide has in place of a rate: what came before the first failure makes no difference.
TEST_F(KeyedRulesTest, ANumberOfFailuresIsJudgedAsByASingleBreaker) {
    const CircuitBreakerConfig config{.failure_threshold = 50, .sliding_window_size = 100};
    Many many{"many", {.breaker = config}, nullptr, time};
    One one{config, nullptr, time};
    std::mt19937_64 random{3};
    int opened = 0;
    for (int i = 0; i < 50'000; ++i) {
        const bool is_bad_phase = i / 500 % 2 == 1;
        auto permit = many.try_acquire(key);
        auto expected = one.try_acquire();
        ASSERT_EQ(permit.has_value(), expected.has_value()) << i;
        if (!permit) {
            ++opened;
            many.reset(key);
            one.reset();
        } else if (random() % 100 < (is_bad_phase ? 60 : 0)) {
            permit->failure(network);
            expected->failure(network);
        } else {
            permit->success();
            expected->success();
        }
    }
    EXPECT_GT(opened, 100);
}

} // namespace
} // namespace velostream
