// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/record.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace velostream::kafka {
namespace {

TEST(KafkaRecord, NullAndEmptyAreDifferent) {
    const Record null{"orders", std::nullopt, std::nullopt};
    const Record empty{"orders", "", ""};

    EXPECT_NE(null, empty);
    EXPECT_NE(Header("name", std::nullopt), Header("name", ""));
}

TEST(KafkaRecord, SizeCountsKeyValueAndHeaders) {
    Record record{"orders", "key", "value"};
    const auto bare = record.size_bytes();
    EXPECT_EQ(bare, Record::overhead + 8);

    record.headers.emplace_back("name", "value");
    record.headers.emplace_back("name", std::nullopt);

    EXPECT_EQ(record.size_bytes(), bare + 2 * Record::header_overhead + 4 + 5 + 4);
}

TEST(KafkaRecord, MovesWithoutThrowing) {
    EXPECT_TRUE(std::is_nothrow_move_constructible_v<Record>);
    EXPECT_TRUE(std::is_nothrow_move_assignable_v<Record>);
}

} // namespace
} // namespace velostream::kafka
