// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/segmented_array.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace velostream {
namespace {

using Array = SegmentedArray<int, 4>;

TEST(SegmentedArray, ItsItemsStayWhereTheyAre) {
    Array array;
    std::vector<int*> items;
    for (std::uint32_t index = 0; index < 1000; ++index) {
        array.reach(index);
        array[index] = static_cast<int>(index);
        items.push_back(&array[index]);
    }

    for (std::uint32_t index = 0; index < items.size(); ++index) {
        EXPECT_EQ(array.find(index), items[index]);
        EXPECT_EQ(*items[index], static_cast<int>(index));
    }
}

TEST(SegmentedArray, HasNothingWhereItWasNotReached) {
    Array array;
    EXPECT_EQ(array.find(0), nullptr);
    EXPECT_EQ(array.find(0xFFFF'FFFF), nullptr);

    array.reach(12); // the third segment: 12 to 27

    EXPECT_EQ(array.find(11), nullptr);
    ASSERT_NE(array.find(12), nullptr);
    EXPECT_EQ(*array.find(27), 0);
    EXPECT_EQ(array.find(28), nullptr);
}

TEST(SegmentedArray, VisitsTheFirstThatWereReached) {
    Array array;
    array.reach(0);
    array.reach(13);
    for (std::uint32_t index = 0; index < 4; ++index) array[index] = static_cast<int>(index);
    for (std::uint32_t index = 12; index < 28; ++index) array[index] = static_cast<int>(index);
    const auto first = [&](std::uint64_t count) {
        std::vector<int> seen;
        array.for_first(count, [&](int item) { seen.push_back(item); });
        return seen;
    };

    EXPECT_TRUE(first(0).empty());
    EXPECT_EQ(first(3), (std::vector{0, 1, 2}));
    EXPECT_EQ(first(12), (std::vector{0, 1, 2, 3}));
    EXPECT_EQ(first(14), (std::vector{0, 1, 2, 3, 12, 13}));
}

/// Lets something happen while it is made.
struct Interrupted {
    Interrupted() {
        if (const auto happens = std::exchange(while_made, nullptr)) happens();
    }
    static inline std::function<void()> while_made;
};

TEST(SegmentedArray, KeepsASegmentThatIsMadeMeanwhile) {
    SegmentedArray<Interrupted, 4> array;
    const Interrupted* made = nullptr;
    Interrupted::while_made = [&] {
        array.reach(0);
        made = array.find(0);
    };

    array.reach(0);

    EXPECT_NE(made, nullptr);
    EXPECT_EQ(array.find(0), made);
}

TEST(SegmentedArray, ThreadsThatReachTheSameGetTheSame) {
    constexpr std::uint32_t count = 4096;
    Array array;
    std::array<std::vector<int*>, 2> seen;
    {
        std::array<std::jthread, 2> threads;
        for (std::size_t thread = 0; thread < threads.size(); ++thread) {
            threads[thread] = std::jthread{[&, thread] {
                for (std::uint32_t index = 0; index < count; ++index) {
                    array.reach(index);
                    seen[thread].push_back(array.find(index));
                }
            }};
        }
    }
    EXPECT_EQ(seen[0], seen[1]);
}

} // namespace
} // namespace velostream
