// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/outcome_window.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace velostream {
namespace {

constexpr auto goes_on = [] { return true; };
constexpr auto is_over = [] { return false; };

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
    const OutcomeWindow<> window{100, true};

    EXPECT_EQ(window.counts(0), OutcomeCounts{});
    EXPECT_EQ(window.counts(7), OutcomeCounts{});
}

TEST(OutcomeWindow, HoldsExactlyTheLastOutcomesOfOneRecorder) {
    std::mt19937_64 random{20240501};
    for (const std::size_t size :
         {1U, 2U, 3U, 5U, 15U, 16U, 17U, 31U, 32U, 33U, 48U, 63U, 64U, 65U, 100U, 127U, 128U, 129U, 1000U}) {
        for (const bool tracks_slow : {false, true}) {
            OutcomeWindow<> window{size, tracks_slow};
            ReferenceWindow reference{size};
            const auto percent_failed = random() % 101;
            for (std::size_t i = 0; i < 5 * size + 200; ++i) {
                const bool failed = random() % 100 < percent_failed;
                const bool slow = tracks_slow && random() % 3 == 0;
                window.record(4, failed, slow, goes_on);
                reference.record(failed, slow);
                ASSERT_EQ(window.counts(4), reference.counts()) << "size " << size << ", outcome " << i;
            }
        }
    }
}

TEST(OutcomeWindow, ForgetsAFailureWhenSizeOthersHavePassedAndNotEarlier) {
    constexpr std::size_t size = 1'000'000;
    OutcomeWindow<> window{size, false};
    window.record(0, true, false, goes_on);

    for (std::size_t i = 1; i < size; ++i) window.record(0, false, false, goes_on);
    EXPECT_EQ(window.counts(0), (OutcomeCounts{size, 1, 0}));

    window.record(0, false, false, goes_on);
    EXPECT_EQ(window.counts(0), (OutcomeCounts{size, 0, 0}));
}

TEST(OutcomeWindow, NumbersTheOutcomesOfAnEra) {
    OutcomeWindow<> window{3, false};

    EXPECT_EQ(window.record(0, false, false, goes_on), 1u);
    EXPECT_EQ(window.record(0, false, false, goes_on), 2u);
    EXPECT_EQ(window.record(0, false, false, goes_on), 3u);
    for (int i = 0; i < 10; ++i) EXPECT_GT(window.record(0, false, false, goes_on), 3u);

    EXPECT_EQ(window.record(9, false, false, goes_on), 1u);
}

TEST(OutcomeWindow, StartsEmptyInEveryEraWithoutBeingCleared) {
    std::mt19937_64 random{7};
    OutcomeWindow<> window{40, true};
    for (std::uint32_t era = 1; era < 400; era += 3) {
        ReferenceWindow reference{40};
        EXPECT_EQ(window.counts(era), OutcomeCounts{});
        for (auto i = random() % 100; i > 0; --i) {
            const bool failed = random() % 2 == 0, slow = random() % 2 == 0;
            window.record(era, failed, slow, goes_on);
            reference.record(failed, slow);
            ASSERT_EQ(window.counts(era), reference.counts()) << "era " << era;
        }
    }
}

TEST(OutcomeWindow, TakesNothingFromAnEraThatIsOver) {
    OutcomeWindow<> window{10, true};
    window.record(3, true, false, goes_on);
    window.record(6, true, true, goes_on);

    EXPECT_EQ(window.record(3, true, true, is_over), 0u);

    EXPECT_EQ(window.counts(6), (OutcomeCounts{1, 1, 1}));
    EXPECT_EQ(window.counts(3), OutcomeCounts{});
}

// A recorder of era 3 is suspended after each of its questions whether the era goes on, while others end it and record.
TEST(OutcomeWindow, TakesNothingFromARecorderWhoseEraEndsWhileItRecords) {
    for (int suspended_at = 1; suspended_at <= 4; ++suspended_at) {
        for (const bool failed : {false, true}) {
            OutcomeWindow<> window{2, true};
            window.record(0, true, true, goes_on); // words of a still older era
            window.record(0, true, true, goes_on);
            int questions = 0;
            const auto suspend = [&] {
                if (++questions != suspended_at) return questions < suspended_at;
                window.record(6, false, true, goes_on);
                window.record(6, false, false, goes_on);
                return true; // it had read the old epoch
            };

            window.record(3, failed, true, suspend);

            if (questions >= suspended_at) {
                EXPECT_EQ(window.counts(6), (OutcomeCounts{2, 0, 1})) << "suspended at " << suspended_at;
            }
        }
    }
}

} // namespace
} // namespace velostream
