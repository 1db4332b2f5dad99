// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "velostream/core/memory_account.hpp"

namespace velostream {
namespace {

TEST(MemoryAccountRoles, KnowsTheOneAboveIt) {
    const MemoryAccount process{"process"};
    auto query = std::optional{process.child("query")};
    const auto operation = query->child("operator");
    const auto* const id = query->id();
    query.reset();

    const auto above = operation.parent();

    ASSERT_TRUE(above);
    EXPECT_EQ(above->id(), id);
    EXPECT_EQ(above->name(), "query");
    EXPECT_EQ(above->parent(), process);
    EXPECT_FALSE(process.parent());
}

std::vector<std::string> names_of(AccountRole role, const MemoryAccount& tree) {
    std::vector<std::string> names;
    tree.for_each(role, [&](const MemoryAccount& account) { names.emplace_back(account.name()); });
    std::ranges::sort(names);
    return names;
}

// Also those without a handle of which something is held; and none that took the place of one that has ended.
TEST(MemoryAccountRoles, FindsThoseOfItsTreeThatHaveARole) {
    const MemoryAccount process{"process"};
    const auto query = process.child("query", 100, AccountRole::query);
    const auto state = query.child("state", std::nullopt, AccountRole::state_of_query);
    auto held = process.child("ended", 100, AccountRole::query).try_reserve(1);
    static_cast<void>(process.child("gone", 100, AccountRole::query));
    const auto plain = process.child("plain");

    EXPECT_EQ(names_of(AccountRole::query, plain), (std::vector<std::string>{"ended", "query"}));
    EXPECT_EQ(names_of(AccountRole::state_of_query, process), std::vector<std::string>{"state"});
    EXPECT_TRUE(names_of(AccountRole::traffic_of_query, process).empty());
    EXPECT_EQ(names_of(AccountRole::plain, process), (std::vector<std::string>{"plain", "process"}));

    held->release();
    EXPECT_EQ(names_of(AccountRole::query, process), std::vector<std::string>{"query"});
}

TEST(MemoryAccountRoles, FindsThemAmongMany) {
    const MemoryAccount process{"process"};
    std::vector<MemoryAccount> accounts;
    for (int number = 0; number < 1000; ++number)
        accounts.push_back(process.child("account", 100, number % 10 == 3 ? AccountRole::query : AccountRole::plain));

    std::size_t found = 0;
    process.for_each(AccountRole::query, [&](const MemoryAccount&) { ++found; });
    EXPECT_EQ(found, 100u);

    accounts.erase(accounts.begin(), accounts.begin() + 500);
    EXPECT_EQ(names_of(AccountRole::query, process).size(), 50u);
}

} // namespace
} // namespace velostream
