// SPDX-License-Identifier: Apache-2.0
// How many keys have entries, and what the others take.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::keyed_circuit_breakers_limits_test {
namespace {

using namespace std::chrono_literals;

const Error network = Errc::connect_failed;

TEST(KeyedBreakersMemory, TakesWithoutEntries8To16BytesForEachOfMaxKeysAndLittleMore) {
    for (const std::size_t keys : {1U, 64U, 65'536U, 65'537U, 100'000U}) {
        const MemoryAccount account{"keyed"};
        const KeyedCircuitBreakers<int> many{"many", {.max_keys = keys}, nullptr, {}, {}, account};

        EXPECT_GE(account.used(), 8 * keys);
        EXPECT_LE(account.used(), 16 * keys + 24_KiB);
    }
}

// Calls what it is given, as often as it is asked for a hash.
struct WatchedHash {
    std::size_t operator()(int key) const {
        if (when_asked) when_asked();
        return static_cast<std::size_t>(key);
    }
    static inline std::function<void()> when_asked;
};

class KeyedBreakersLimitTest : public ::testing::Test {
  protected:
    using Breakers = KeyedCircuitBreakers<int, testing::ManualTime, WatchedHash>;

    ~KeyedBreakersLimitTest() override { WatchedHash::when_asked = nullptr; }

    // The keys 1 and 2 get entries in which nothing bad is left.
    void fill(Breakers& breakers) {
        breakers.try_acquire(1)->failure(network);
        breakers.try_acquire(2)->failure(network);
        time.advance(10s);
    }

    testing::ManualTime time;
    const KeyedCircuitBreakersConfig two{.breaker = {.sliding_window_duration = 10s}, .max_keys = 2};
};

TEST_F(KeyedBreakersLimitTest, IsKeptInTheStatisticsWhileOneTakesThePlaceOfAnother) {
    Breakers breakers{"two", two, nullptr, time};
    fill(breakers);
    std::size_t most = 0;
    WatchedHash::when_asked = [&] { most = std::max(most, breakers.get_stats().keys); };

    breakers.try_acquire(3)->failure(network);

    EXPECT_EQ(breakers.get_stats().evicted, 1u);
    EXPECT_EQ(most, 2u);
}

// Each search looks at some of the entries. A key's bucket is its number.
TEST_F(KeyedBreakersLimitTest, TheNextSearchForAPlaceBeginsWhereTheLastOneEndedAndGoesAllTheWayRound) {
    constexpr int keys = 127;
    auto config = two;
    config.max_keys = keys;
    for (int good = 0; good < keys; ++good) {
        Breakers breakers{"full", config, nullptr, time};
        breakers.try_acquire(good)->failure(network);
        time.advance(9s);
        for (int key = 0; key < keys; ++key)
            if (key != good) breakers.try_acquire(key)->failure(network);
        time.advance(1s); // nothing bad is left of the good one

        for (int searches = 0; searches < 2; ++searches)
            if (breakers.get_stats().evicted == 0) breakers.try_acquire(1000)->failure(network);

        EXPECT_EQ(breakers.get_stats().evicted, 1u) << good;
        EXPECT_EQ(breakers.get_stats(good).failure_count + breakers.get_stats(1000).failure_count, 1u) << good;
    }
}

TEST_F(KeyedBreakersLimitTest, AHashThatThrowsMeanwhileLosesAFailureAndNoPlace) {
    int untracked = 0;
    for (int last = 2;; ++last) { // the first time it is the caller's
        Breakers breakers{"two", two, nullptr, time};
        fill(breakers);
        auto permit = breakers.try_acquire(3);
        int asked = 0;
        WatchedHash::when_asked = [&] {
            if (++asked == last) throw std::runtime_error{"broken hash"};
        };
        permit->failure(network);
        WatchedHash::when_asked = nullptr;
        if (asked < last) break;
        EXPECT_EQ(breakers.get_stats().untracked, 1u);
        ++untracked;

        for (int key = 1; key <= 3; ++key) breakers.reset(key);
        EXPECT_EQ(breakers.get_stats().keys, 0u) << last;
    }
    EXPECT_GE(untracked, 2);
}

TEST(KeyedBreakersLimit, ASuccessTakesNoPlaceHoweverLikeItsHashIsThatOfAKeyWithAnEntry) {
    struct OneForAll {
        std::size_t operator()(int) const noexcept { return 7; }
    };
    KeyedCircuitBreakers<int, SteadyTime, OneForAll> one{"one", {.max_keys = 1}};
    one.try_acquire(1)->failure(network);

    one.try_acquire(2)->success();

    EXPECT_EQ(one.get_stats().untracked, 0u);
    EXPECT_EQ(one.get_stats(1).failure_count, 1u);
}

TEST(KeyedBreakersNames, AreThoseOfTextsAndNumbersOnly) {
    std::vector<std::string> told;
    const auto open = [&](auto keyed, const auto& key) {
        keyed->on_state_change([&](const CircuitStateChanged& change) { told.emplace_back(change.breaker); });
        keyed->try_acquire(key)->failure(network);
    };
    const KeyedCircuitBreakersConfig config{.breaker = {.failure_threshold = 1}};

    open(std::make_unique<KeyedCircuitBreakers<std::string>>("text", config), "a");
    open(std::make_unique<KeyedCircuitBreakers<int>>("number", config), 7);
    open(std::make_unique<KeyedCircuitBreakers<double>>("other", config), 0.5);

    EXPECT_EQ(told, (std::vector<std::string>{"text/a", "number/7", "other/?"}));
}

} // namespace
} // namespace velostream::keyed_circuit_breakers_limits_test
