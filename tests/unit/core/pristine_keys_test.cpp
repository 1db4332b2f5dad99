// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/pristine_keys.hpp"

#include <gtest/gtest.h>

namespace velostream {
namespace {

TEST(PristineKeys, KnowsKeysWithoutEntriesForCertain) {
    PristineKeys keys{1000, {}};
    EXPECT_EQ(keys.look(7).entries, 0u);

    keys.enter(7);
    keys.enter(7);
    keys.leave(7, 0);

    EXPECT_EQ(keys.look(7).entries, 1u);
    EXPECT_EQ(keys.look(8).entries, 0u);
    EXPECT_EQ(keys.look(7 + 1024).entries, 1u) << "shares its slot, and is looked up in vain";
    keys.leave(7, 0);
    EXPECT_EQ(keys.look(7).entries, 0u);
}

TEST(PristineKeys, GoesOnInTheEpochInWhichAnEntryWentAndNeverBack) {
    PristineKeys keys{1000, {}};
    EXPECT_EQ(keys.look(7).epoch, 0u);

    keys.enter(7);
    keys.leave(7, 6);
    EXPECT_EQ(keys.look(7).epoch, 6u);

    keys.enter(7);
    EXPECT_EQ(keys.look(7).epoch, 6u);
    keys.leave(7, 3); // of another key in the slot, whose entry was older
    EXPECT_EQ(keys.look(7).epoch, 6u);
    EXPECT_EQ(keys.look(8).epoch, 0u);
}

TEST(PristineKeys, ItsAccountIsChargedForEightBytesASlot) {
    const MemoryAccount account{"keys"};
    {
        const PristineKeys keys{1'000'000, account};
        EXPECT_GE(account.used(), 8u << 20);
        EXPECT_LE(account.used(), (8u << 20) + 8192);
        EXPECT_LT(keys.slot_of(~std::size_t{0}), std::size_t{1} << 20);
    }
    EXPECT_EQ(account.used(), 0u);
    EXPECT_THROW((PristineKeys{1'000'000, MemoryAccount{"small", 1000}}), MemoryRefusedException);
}

} // namespace
} // namespace velostream
