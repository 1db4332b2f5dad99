// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/dead_letter_partition.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

namespace velostream {
namespace {

using namespace std::string_view_literals;

TEST(DeadLetterPartition, OfTheSourceIsTheSameNumberWhereTheTopicHasIt) {
    const auto of = [](std::int32_t source, std::int32_t partitions) {
        return dead_letter_partition(DeadLetterPartitioning::source, partitions, source, "key");
    };

    EXPECT_EQ(of(0, 4), 0);
    EXPECT_EQ(of(3, 4), 3);
    EXPECT_EQ(of(4, 4), 0) << "modulo";
    EXPECT_EQ(of(11, 4), 3);
    EXPECT_EQ(of(2'147'483'647, 1), 0);
    EXPECT_EQ(of(-1, 4), -1) << "nobody knows";
}

TEST(DeadLetterPartition, OfAKeyIsWhereJavasClientsWriteIt) {
    const auto of = [](const NullableBytes& key, std::int32_t source) {
        return dead_letter_partition(DeadLetterPartitioning::key, 12, source, key);
    };
    const auto expected = [](std::int32_t hash) { return (hash & 0x7fffffff) % 12; };

    EXPECT_EQ(of("foobar", 3), expected(-790'332'482));
    EXPECT_EQ(of("21", -1), expected(-973'932'308));
    EXPECT_EQ(of("", 3), expected(static_cast<std::int32_t>(murmur2("")))) << "an empty key is one";
    EXPECT_EQ(of(std::nullopt, 3), 3) << "no key: as of the source";
    EXPECT_EQ(of(std::nullopt, -1), -1);
}

TEST(DeadLetterPartition, IsTheProducersWhereItIsToChooseAndWhereNobodyKnowsHowManyThereAre) {
    EXPECT_EQ(dead_letter_partition(DeadLetterPartitioning::producer, 4, 3, "key"), -1);
    for (const auto partitioning : {DeadLetterPartitioning::source, DeadLetterPartitioning::key}) {
        EXPECT_EQ(dead_letter_partition(partitioning, std::nullopt, 3, "key"), -1);
        EXPECT_EQ(dead_letter_partition(partitioning, 0, 3, "key"), -1);
        EXPECT_EQ(dead_letter_partition(partitioning, -1, 3, "key"), -1);
    }
}

// The values that the tests of Kafka's own clients have.
TEST(Murmur2, IsThatOfJavasClients) {
    const auto hash = [](std::string_view key) { return static_cast<std::int32_t>(murmur2(key)); };

    EXPECT_EQ(hash("21"), -973'932'308);
    EXPECT_EQ(hash("foobar"), -790'332'482);
    EXPECT_EQ(hash("a-little-bit-long-string"), -985'981'536);
    EXPECT_EQ(hash("a-little-bit-longer-string"), -1'486'304'829);
    EXPECT_EQ(hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58'897'971);
    EXPECT_EQ(hash("abc"), 479'470'107);
}

} // namespace
} // namespace velostream
