// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/outcome_window.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <thread>

namespace velostream {
namespace {

using namespace std::chrono_literals;

// Of the last `size` outcomes; every outcome is looked at until there are more than `minimum`.
CircuitBreakerConfig last(std::size_t size, std::size_t minimum = 10) {
    return {.failure_threshold = size, .sliding_window_size = size, .minimum_throughput = minimum};
}

// What a window of the last `size` outcomes holds, the obvious way.
class ReferenceWindow {
  public:
    explicit ReferenceWindow(std::size_t size) : size_(size) {}

    void record(bool failed, bool slow) {
        outcomes_.emplace_back(failed, slow);
        if (outcomes_.size() > size_) outcomes_.pop_front();
    }
    OutcomeCounts counts() const {
        OutcomeCounts counts;
        for (const auto& [failed, slow] : outcomes_) {
            ++counts.calls;
            counts.failures += failed;
            counts.slow += slow;
        }
        return counts;
    }

  private:
    std::size_t size_;
    std::deque<std::pair<bool, bool>> outcomes_;
};

TEST(OutcomeWindow, IsEmptyAtFirst) {
    const OutcomeWindow window{last(100)};

    EXPECT_EQ(window.counts(), OutcomeCounts{});
}

void record(OutcomeWindow& window, std::uint32_t era, bool failed, bool slow) {
    if (failed || slow)
        window.record(era, failed, slow);
    else
        window.record_success(era);
}

TEST(OutcomeWindow, HoldsExactlyTheLastOutcomesOfOneRecorder) {
    std::mt19937_64 random{20240501};
    for (const std::size_t size : {1U, 2U, 3U, 5U, 16U, 31U, 64U, 100U, 127U, 128U, 129U, 255U, 256U, 257U, 1000U}) {
        for (const unsigned percent_failed : {0U, 1U, 10U, 50U, 90U, 100U}) {
            OutcomeWindow window{last(size)};
            ReferenceWindow reference{size};
            for (std::size_t i = 0; i < 3 * size + 200; ++i) {
                const bool failed = random() % 100 < percent_failed, slow = random() % 3 == 0;
                record(window, 0, failed, slow);
                reference.record(failed, slow);
                ASSERT_EQ(window.counts(), reference.counts()) << "size " << size << ", outcome " << i;
            }
        }
    }
}

TEST(OutcomeWindow, IsExactAlsoIfOneThreadRecordsAfterTheOther) {
    OutcomeWindow window{last(50)};
    ReferenceWindow reference{50};
    for (int i = 0; i < 40; ++i) {
        std::thread{[&] {
            for (int j = 0; j < 7; ++j) {
                record(window, 0, j % 3 == 0, false);
                reference.record(j % 3 == 0, false);
            }
        }}.join();
        ASSERT_EQ(window.counts(), reference.counts());
    }
}

TEST(OutcomeWindow, ForgetsAFailureWhenSizeOthersHavePassedAndNotEarlier) {
    constexpr std::uint32_t size = 1'000'000;
    OutcomeWindow window{last(size)};
    window.record(0, true, true);

    for (std::size_t i = 1; i < size; ++i) window.record_success(0);
    EXPECT_EQ(window.counts(), (OutcomeCounts{size, 1, 1}));

    window.record_success(0);
    EXPECT_EQ(window.counts(), (OutcomeCounts{size, 0, 0}));
}

TEST(OutcomeWindow, HoldsAMillionFailures) {
    constexpr std::uint32_t size = 1'000'000;
    OutcomeWindow window{last(size)};

    for (std::size_t i = 0; i < size + 5; ++i) window.record(0, true, false);

    EXPECT_EQ(window.counts(), (OutcomeCounts{size, size, 0}));
}

TEST(OutcomeWindow, AsksToBeJudgedUntilTheMinimumIsPassedAndByEveryFailure) {
    OutcomeWindow window{last(100)};

    for (int i = 1; i <= 11; ++i) EXPECT_EQ(window.record_success(0), WindowEntry::to_judge) << i;
    for (int i = 0; i < 300; ++i) EXPECT_EQ(window.record_success(0), WindowEntry::counted);
    EXPECT_EQ(window.record(0, true, false), WindowEntry::to_judge);
    EXPECT_EQ(window.record(0, false, true), WindowEntry::to_judge);
    EXPECT_EQ(window.record_success(0), WindowEntry::counted);

    window.begin_era(3);
    for (int i = 1; i <= 11; ++i) EXPECT_EQ(window.record_success(3), WindowEntry::to_judge) << i;
    EXPECT_EQ(window.record_success(3), WindowEntry::counted);
}

TEST(OutcomeWindow, StartsEmptyInEveryEra) {
    std::mt19937_64 random{7};
    OutcomeWindow window{last(40)};
    for (std::uint32_t era = 1; era < 400; era += 3) {
        window.begin_era(era);
        ReferenceWindow reference{40};
        EXPECT_EQ(window.counts(), OutcomeCounts{});
        for (auto i = random() % 100; i > 0; --i) {
            const bool failed = random() % 2 == 0, slow = random() % 2 == 0;
            record(window, era, failed, slow);
            reference.record(failed, slow);
            ASSERT_EQ(window.counts(), reference.counts()) << "era " << era;
        }
    }
}

TEST(OutcomeWindow, TakesNothingFromAnotherEra) {
    OutcomeWindow window{last(10)};
    window.record(0, true, false);
    window.begin_era(3);
    window.record(3, true, true);

    for (const std::uint32_t other : {0U, 6U, 2U}) {
        EXPECT_EQ(window.record_success(other), WindowEntry::late);
        EXPECT_EQ(window.record(other, true, true), WindowEntry::late);
    }

    EXPECT_EQ(window.counts(), (OutcomeCounts{1, 1, 1}));
}

} // namespace
} // namespace velostream
