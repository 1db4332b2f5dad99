// SPDX-License-Identifier: Apache-2.0
#include "postgres/statement_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace velostream::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(StatementCache, KnowsAStatementByItsText) {
    StatementCache cache{2};
    EXPECT_FALSE(cache.find("a"));
    const auto number = cache.add("a");
    EXPECT_EQ(cache.find("a"), number);
    EXPECT_FALSE(cache.find("A"));
    EXPECT_EQ(cache.size(), 1u);
}

TEST(StatementCache, GivesUpTheOneUsedLongestAgo) {
    StatementCache cache{2};
    cache.add("a");
    const auto second = cache.add("b");
    cache.find("a");
    cache.add("c");
    EXPECT_TRUE(cache.find("a"));
    EXPECT_FALSE(cache.find("b"));
    EXPECT_THAT(cache.given_up(), ElementsAre(second));
    cache.clear_given_up();
    EXPECT_THAT(cache.given_up(), IsEmpty());
}

TEST(StatementCache, NeverUsesANumberTwice) {
    StatementCache cache{1};
    const auto first = cache.add("a");
    cache.forget(first, false);
    EXPECT_NE(cache.add("a"), first);
    cache.clear();
    EXPECT_GT(cache.add("a"), first + 1);
}

TEST(StatementCache, ForgetsWithALastWordOnlyForWhatTheServerHas) {
    StatementCache cache{4};
    const auto failed = cache.add("a");
    const auto outdated = cache.add("b");
    cache.forget(failed, false);
    cache.forget(outdated, true);
    cache.forget(outdated, true);
    EXPECT_THAT(cache.given_up(), ElementsAre(outdated));
    EXPECT_EQ(cache.size(), 0u);
}

TEST(StatementCache, AfterAClearTheServerHasNothingToForget) {
    StatementCache cache{1};
    cache.add("a");
    cache.add("b");
    cache.clear();
    EXPECT_THAT(cache.given_up(), IsEmpty());
    EXPECT_FALSE(cache.find("b"));
}

} // namespace
} // namespace velostream::postgres
