// SPDX-License-Identifier: Apache-2.0
// Who a refusal names.
#include "core/largest_holders.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/core/memory_account.hpp"

namespace velostream {
namespace {

struct Held {
    MemoryAccount account;
    MemoryReservation bytes;
};
Held hold(const MemoryAccount& account, Bytes bytes) {
    return {account, *account.try_reserve(bytes)};
}

std::string refusal_of(const MemoryAccount& account, Bytes bytes = 1) {
    const auto refused = account.try_reserve(bytes);
    return refused ? "granted" : std::string{refused.error().detail()};
}

TEST(LargestHolders, WhatTheLevelHoldsItselfIsOneOfThem) {
    const MemoryAccount process{"process", 1000};
    const auto sends = process.child("sends");
    const auto own = hold(process, 300), groups = hold(process.child("groups"), 500);
    const auto sent = hold(sends, 150), windows = hold(process.child("windows"), 50);

    EXPECT_EQ(refusal_of(sends),
              "account 'sends' asked for 1 byte, refused by 'process': used 1000 of 1000; "
              "largest: groups 500, process itself 300, sends 150; waiting could help");
    EXPECT_EQ(refusal_of(process),
              "account 'process' asked for 1 byte: used 1000 of 1000; "
              "largest: groups 500, process itself 300, sends 150; waiting could help");
}

TEST(LargestHolders, AreTheLevelItselfWhereNobodyBelowHoldsAnything) {
    const MemoryAccount process{"process", 1000};
    const auto own = hold(process, 1000);

    EXPECT_EQ(refusal_of(process.child("sends")),
              "account 'sends' asked for 1 byte, refused by 'process': used 1000 of 1000; "
              "largest: process itself 1000; waiting could help");
    EXPECT_EQ(refusal_of(process), "account 'process' asked for 1 byte: used 1000 of 1000; waiting could help")
        << "it says it once";
}

TEST(LargestHolders, WhatIsFurtherDownCountsOnceInTheAccountRightBelow) {
    const MemoryAccount process{"process", 1000};
    const auto query = process.child("query");
    const auto sort = hold(query.child("sort"), 400), join = hold(query.child("join").child("left"), 300);
    const auto sends = hold(process.child("sends"), 300);

    EXPECT_EQ(refusal_of(process),
              "account 'process' asked for 1 byte: used 1000 of 1000; largest: query 700, sends 300; "
              "waiting could help");
}

TEST(LargestHolders, AreNamedHoweverManyAccountsThereEverWere) {
    const MemoryAccount process{"process", 100};
    {
        std::vector<MemoryAccount> many;
        for (int count = 0; count < 10'000; ++count) many.push_back(process.child("short-lived"));
    }
    const auto groups = hold(process.child("groups"), 100);

    EXPECT_EQ(refusal_of(process.child("sends")),
              "account 'sends' asked for 1 byte, refused by 'process': used 100 of 100; largest: groups 100; "
              "waiting could help");
}

TEST(LargestHolders, AreNamedAmongThousandsOfAccounts) {
    const MemoryAccount process{"process", 10'000};
    std::vector<Held> held;
    for (int count = 0; count < 4'094; ++count) held.push_back(hold(process.child("small"), 1));
    const auto large = hold(process.child("large"), 10'000 - process.used());

    EXPECT_NE(refusal_of(process).find("largest: large "), std::string::npos) << refusal_of(process);
}

TEST(LargestHolders, AreFoundByAFewRefusalsAmongMoreAccountsThanOneLooksAt) {
    const MemoryAccount process{"process", 100'000};
    std::vector<Held> held;
    const auto more = [&](int count) {
        for (; count > 0; --count) held.push_back(hold(process.child("small"), 1));
    };
    more(1'000);
    const auto third = hold(process.child("third"), 10'000);
    more(5'000);
    auto first = std::optional{hold(process.child("first"), 30'000)};
    more(5'000);
    const auto second = hold(process.child("second"), 20'000);
    auto rest = *process.try_reserve(100'000 - process.used());

    const auto soon = [&process] { // each of them looks at a good third
        for (int refusal = 0; refusal < 3; ++refusal) refusal_of(process);
        return refusal_of(process);
    };
    const auto text = soon();
    EXPECT_EQ(text.find("account 'process' asked for 1 byte: used 100000 of 100000; largest seen of 11004 accounts: "
                        "first 30000, second 20000, third 10000, process itself and accounts not looked at 3"),
              0U)
        << text;

    first.reset();
    ASSERT_TRUE(rest.try_grow(30'000));
    const auto again = soon();
    EXPECT_NE(again.find("largest seen of 11003 accounts: second 20000, third 10000, small 1, process itself "
                         "and accounts not looked at "),
              std::string::npos)
        << again;
}

TEST(LargestHolders, TheLevelItselfIsNamedAmongThousandsThatHoldLittle) {
    const MemoryAccount process{"process", 1'000'000};
    const auto large = hold(process.child("large"), 600'000);
    std::vector<Held> held;
    for (int count = 0; count < 5'000; ++count) held.push_back(hold(process.child("small"), 1));
    const auto rest = hold(process, 1'000'000 - process.used());

    for (int refusal = 0; refusal < 8; ++refusal) { // those that remember the large one count it once, too
        const auto text = refusal_of(process);
        EXPECT_NE(text.find("largest seen of 5002 accounts: large 600000, small 1, small 1, "
                            "process itself and accounts not looked at 395"),
                  std::string::npos)
            << text;
    }
}

// Two refusals at once may leave an account in two of the places where a level remembers who held most.
TEST(LargestHolders, OneThatIsRememberedTwiceCountsOnce) {
    using Tree = BudgetTree<MachineAtomics>;
    auto& process = Tree::make("process", 1'000'000);
    auto& large = Tree::make_child(process, "large", unlimited_units);
    std::vector<Tree::Node*> small;
    for (int count = 0; count < 5'000; ++count) small.push_back(&Tree::make_child(process, "small", unlimited_units));
    ASSERT_TRUE(Tree::take({.node = &large, .units = 600'000}).granted());
    ASSERT_TRUE(Tree::take({.node = &process, .units = 300'000}).granted());
    process.largest_seen[0] = process.largest_seen[1] = &large;

    const auto text = largest_holders(process, process);

    EXPECT_EQ(text, "; largest seen of 5002 accounts: large 600000, process itself and accounts not looked at 300000");
    Tree::give(large.shard(0), 600'000);
    Tree::give(process.shard(0), 300'000);
    for (auto* const node : small) Tree::drop_owner(node);
    Tree::drop_owner(&large);
    Tree::drop_owner(&process);
}

TEST(LargestHolders, WhatOutlivesItsAccountIsNamedAmongThousandsToo) {
    const MemoryAccount process{"process", 10'000};
    std::vector<Held> held;
    for (int count = 0; count < 5'000; ++count) held.push_back(hold(process.child("small"), 1));
    auto account = std::optional{process.child("query")};
    const auto outlives = account->try_reserve(10'000 - process.used());
    account.reset();

    std::string text; // each looks at some of them
    for (int refusal = 0; refusal < 3 && text.find("accounts that ended 5000") == std::string::npos; ++refusal)
        text = refusal_of(process);

    EXPECT_NE(text.find("accounts: accounts that ended 5000, small 1, small 1"), std::string::npos) << text;
}

TEST(LargestHolders, WhatOutlivesItsAccountIsNamedTogether) {
    const MemoryAccount process{"process", 1000};
    auto account = std::optional{process.child("query")};
    auto first = account->try_reserve(400);
    account = process.child("other");
    auto second = account->try_reserve(200);
    account.reset();
    const auto sends = hold(process.child("sends"), 400);

    EXPECT_EQ(refusal_of(process),
              "account 'process' asked for 1 byte: used 1000 of 1000; largest: accounts that ended 600, sends 400; "
              "waiting could help");
}

TEST(LargestHolders, NamingThemKeepsNobodyInPlace) {
    const MemoryAccount process{"process", 1000};
    {
        const auto groups = hold(process.child("groups"), 1000);
        ASSERT_NE(refusal_of(process).find("groups 1000"), std::string::npos);
    }
    auto again = hold(process.child("again"), 1000);

    EXPECT_NE(refusal_of(process).find("largest: again 1000;"), std::string::npos) << refusal_of(process);
    again.bytes.release();
    EXPECT_EQ(process.used(), 0u);
}

} // namespace
} // namespace velostream
