// SPDX-License-Identifier: Apache-2.0
#include "sqlite/statement_cache.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace velostream::sqlite {
namespace {

using Cache = StatementCache<std::shared_ptr<int>>;

TEST(SqliteStatementCache, FindsWhatWasInserted) {
    Cache cache{2};
    const auto one = std::make_shared<int>(1);
    cache.insert("SELECT 1", one);
    ASSERT_NE(cache.find("SELECT 1"), nullptr);
    EXPECT_EQ(*cache.find("SELECT 1"), one);
    EXPECT_EQ(cache.find("SELECT 2"), nullptr);
    EXPECT_EQ(cache.find("select 1"), nullptr);
}

TEST(SqliteStatementCache, TheOneThatWasNotUsedForLongestGoes) {
    Cache cache{2};
    const auto first = std::make_shared<int>(1);
    const auto second = std::make_shared<int>(2);
    cache.insert("first", first);
    cache.insert("second", second);
    ASSERT_NE(cache.find("first"), nullptr);

    cache.insert("third", std::make_shared<int>(3));

    EXPECT_EQ(cache.size(), 2U);
    EXPECT_NE(cache.find("first"), nullptr);
    EXPECT_EQ(cache.find("second"), nullptr);
    EXPECT_NE(cache.find("third"), nullptr);
    EXPECT_EQ(second.use_count(), 1) << "it is gone, not only forgotten";
}

TEST(SqliteStatementCache, KeepsNothingWithoutRoom) {
    Cache cache{0};
    const auto one = std::make_shared<int>(1);
    cache.insert("one", one);
    EXPECT_EQ(cache.find("one"), nullptr);
    EXPECT_EQ(one.use_count(), 1);
}

TEST(SqliteStatementCache, IsEmptyOnceItWasCleared) {
    Cache cache{2};
    const auto one = std::make_shared<int>(1);
    cache.insert("one", one);
    cache.clear();
    EXPECT_EQ(cache.size(), 0U);
    EXPECT_EQ(cache.find("one"), nullptr);
    EXPECT_EQ(one.use_count(), 1);
    cache.insert("one", one);
    EXPECT_NE(cache.find("one"), nullptr);
}

} // namespace
} // namespace velostream::sqlite
