// SPDX-License-Identifier: Apache-2.0
#include "name_table.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace velostream {
namespace {

class NameTableTest : public ::testing::Test {
  protected:
    const MemoryAccount& find(const std::string& name) {
        return table.find_or_make(name, [&] {
            ++made;
            return process.child(name);
        });
    }
    static std::string name_of(int number) { return "name " + std::to_string(number); }

    MemoryAccount process{"process"};
    NameTable table;
    std::atomic<int> made{0};
};

TEST_F(NameTableTest, MakesAnAccountOnceAndItStaysWhereItIs) {
    const auto& first = find("a");
    const auto& other = find("b");
    for (int number = 0; number < 1000; ++number) find(name_of(number));

    EXPECT_EQ(&find("a"), &first);
    EXPECT_EQ(&find("b"), &other);
    EXPECT_EQ(first.name(), "a");
    EXPECT_EQ(made, 1002);
}

TEST_F(NameTableTest, VisitsEachAccountOnce) {
    for (int number = 0; number < 1000; ++number) find(name_of(number));
    std::multiset<std::string> visited;

    table.for_each([&](const MemoryAccount& account) { visited.emplace(account.name()); });

    ASSERT_EQ(visited.size(), 1000u);
    for (int number = 0; number < 1000; ++number) EXPECT_EQ(visited.count(name_of(number)), 1u);
}

TEST_F(NameTableTest, AnAccountThatCannotBeMadeIsMadeNextTime) {
    const auto fail = [&] {
        static_cast<void>(table.find_or_make("a", []() -> MemoryAccount { throw std::bad_alloc{}; }));
    };

    EXPECT_THROW(fail(), std::bad_alloc);

    EXPECT_EQ(find("a").name(), "a");
}

TEST_F(NameTableTest, ThreadsThatLookForTheSameNamesGetTheSameAccounts) {
    constexpr int names = 200;
    std::vector<std::vector<const MemoryAccount*>> found(4);
    {
        std::vector<std::jthread> threads;
        for (auto& of_thread : found)
            threads.emplace_back([&] {
                for (int number = 0; number < names; ++number) of_thread.push_back(&find(name_of(number)));
            });
    }

    for (const auto& of_thread : found) EXPECT_EQ(of_thread, found.front());
    std::set<const void*> accounts;
    table.for_each([&](const MemoryAccount& account) { accounts.insert(account.id()); });
    EXPECT_EQ(accounts.size(), static_cast<std::size_t>(names));
}

} // namespace
} // namespace velostream
