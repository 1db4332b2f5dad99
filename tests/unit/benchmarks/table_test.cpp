// SPDX-License-Identifier: Apache-2.0
#include "figures/table.hpp"

#include <gtest/gtest.h>

using namespace velostream::bench;

namespace {

const Row floor_row{
    .name = "floor/f", .threads = 1, .median_ns = 4.2, .min_ns = 4, .max_ns = 5, .cpu_ns = 4.1, .allocs_per_op = 0};
const Row missed_row{.name = "x/subject",
                     .threads = 2,
                     .median_ns = 8.4,
                     .min_ns = 8,
                     .max_ns = 1234,
                     .cpu_ns = 8.2,
                     .allocs_per_op = 1.5,
                     .floor = "floor/f",
                     .ratio = 2,
                     .goal = 1.3,
                     .met = false,
                     .floor_ns = 4.2,
                     .judged_by = "wall"};

} // namespace

TEST(BenchTable, ShowsMeasuredFloorRatioGoalAndMetInColumns) {
    const std::string expected =
        "benchmark  threads  measured      min      max      cpu  allocs  floor             by    ratio  goal  met\n"
        "floor/f          1   4.20 ns  4.00 ns  5.00 ns  4.10 ns    0.00\n"
        "x/subject        2   8.40 ns  8.00 ns  1.23 us  8.20 ns    1.50  floor/f  4.20 ns  wall   2.00  1.30  NO\n";

    EXPECT_EQ(to_table(std::vector{floor_row, missed_row}), expected);
}

TEST(BenchTable, JsonIsAnArrayOfTheDocumentedKeysInTheirOrder) {
    const std::string expected = R"([
  {
    "name": "floor/f",
    "threads": 1,
    "median_ns": 4.2,
    "min_ns": 4.0,
    "max_ns": 5.0,
    "cpu_ns": 4.1,
    "allocs_per_op": 0.0,
    "floor": null,
    "ratio": null,
    "goal": null,
    "met": true
  },
  {
    "name": "x/subject",
    "threads": 2,
    "median_ns": 8.4,
    "min_ns": 8.0,
    "max_ns": 1234.0,
    "cpu_ns": 8.2,
    "allocs_per_op": 1.5,
    "floor": "floor/f",
    "ratio": 2.0,
    "goal": 1.3,
    "met": false
  }
])";

    EXPECT_EQ(to_json(std::vector{floor_row, missed_row}), expected);
}

TEST(BenchTable, JsonOfNoRowsIsAnEmptyArray) {
    EXPECT_EQ(to_json(std::vector<Row>{}), "[]");
}

TEST(BenchTable, GrowthShowsItsExponents) {
    EXPECT_EQ(to_table(std::vector<Growth>{{"growth/keys", 1, 1000000, 0.0123}}),
              "growth       from       to  exponent\n"
              "growth/keys     1  1000000     0.012\n");
    EXPECT_EQ(to_table(std::vector<Growth>{}), "");
}

TEST(BenchTable, TimesHaveThreeDigitsAndTheUnitThatSuits) {
    EXPECT_EQ(time_text(0.25), "0.25 ns");
    EXPECT_EQ(time_text(12.34), "12.3 ns");
    EXPECT_EQ(time_text(-20), "-20.0 ns");
    EXPECT_EQ(time_text(4560), "4.56 us");
    EXPECT_EQ(time_text(123e6), "123 ms");
    EXPECT_EQ(time_text(1.2e9), "1.20 s");
}
