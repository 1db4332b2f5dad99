// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/accounted_memory.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <limits>
#include <map>
#include <memory_resource>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace velostream {
namespace {

#ifndef __SANITIZE_ADDRESS__ // whose heap is another one
// What malloc says it gave, and the header before it.
constexpr std::size_t header = 8;

TEST(MemoryRefusedException, IsTheErrorThatItCarries) {
    const auto thrown = std::make_exception_ptr(MemoryRefusedException{{Errc::memory_limit_exceeded, "account state"}});

    const auto error = Error::from_exception(thrown);

    EXPECT_EQ(error, Errc::memory_limit_exceeded);
    EXPECT_EQ(error.detail(), "account state");
    EXPECT_FALSE(error.blames_record());
    EXPECT_THROW(std::rethrow_exception(thrown), std::bad_alloc);
}

// Header included: a block of whole pages has one of 16 bytes.
std::size_t taken_by(void* place) {
    return (::malloc_usable_size(place) + 2 * header) / 16 * 16;
}

// A heap with gaps of every size, so that malloc often finds one that is a little too large.
class FragmentedHeap {
  public:
    FragmentedHeap() {
        std::minstd_rand random{7};
        for (int count = 0; count < 20'000; ++count) blocks_.push_back(std::malloc(random() % 4096));
        for (std::size_t index = 0; index < blocks_.size(); index += 2)
            std::free(std::exchange(blocks_[index], nullptr));
    }
    FragmentedHeap(const FragmentedHeap&) = delete;
    FragmentedHeap& operator=(const FragmentedHeap&) = delete;
    ~FragmentedHeap() {
        for (void* const block : blocks_) std::free(block);
    }

  private:
    std::vector<void*> blocks_;
};

TEST(AccountedMemory, WhatIsReservedInAdvanceIsNeverTooLittleAndHardlyTooMuch) {
    const FragmentedHeap heap;
    std::minstd_rand random{42};
    std::size_t larger_than_asked = 0;
    for (int count = 0; count < 200'000; ++count) {
        const std::size_t bytes = random() % (std::size_t{1} << (1 + random() % 16));
        void* const place = std::malloc(bytes);
        const auto taken = taken_by(place);
        std::free(place);
        ASSERT_GE(charge_for(bytes), taken) << bytes;
        ASSERT_LE(charge_for(bytes), taken + 16) << bytes;
        if (taken > std::max<std::size_t>(32, (bytes + header + 15) / 16 * 16)) ++larger_than_asked;
    }
    EXPECT_GT(larger_than_asked, 0u) << "no gap was a little too large";
}

TEST(AccountedMemory, WhatIsReservedInAdvanceIsNotTooLittleForWholePages) {
    for (std::size_t bytes = 128 * 1024 - 64; bytes < 128 * 1024 + 64; ++bytes) {
        for (const std::size_t pages : {0U, 1U, 100U, 5'000U}) {
            void* const place = std::malloc(bytes + pages * 4096);
            const auto taken = taken_by(place);
            std::free(place);
            ASSERT_GE(charge_for(bytes + pages * 4096), taken) << bytes << " and " << pages;
            ASSERT_LE(charge_for(bytes + pages * 4096), taken + 4096 + 32) << bytes << " and " << pages;
        }
    }
}

TEST(AccountedMemory, WhatIsReservedInAdvanceIsNotTooLittleForAnAlignedBlock) {
    const FragmentedHeap heap;
    std::minstd_rand random{42};
    for (int count = 0; count < 50'000; ++count) {
        const auto alignment = std::size_t{32} << random() % 8;
        const std::size_t bytes = random() % (random() % 4 == 0 ? 4 : 5'000);
        void* place = nullptr;
        ASSERT_EQ(::posix_memalign(&place, alignment, bytes), 0);
        const auto taken = taken_by(place);
        std::free(place);
        ASSERT_GE(charge_for(bytes, alignment), taken) << bytes << " at " << alignment;

        place = ::operator new(bytes, std::align_val_t{alignment});
        const auto rounded = taken_by(place);
        ::operator delete(place, std::align_val_t{alignment});
        ASSERT_GE(charge_for(bytes, alignment), rounded) << bytes << " at " << alignment;
        ASSERT_LE(charge_for(bytes, alignment), rounded + 32) << bytes << " at " << alignment;
    }
}

TEST(AccountedResource, ChargesWhatMallocTookToTheByte) {
    const FragmentedHeap heap;
    const MemoryAccount account{"account"};
    AccountedResource resource{account};
    std::minstd_rand random{42};
    std::vector<std::pair<void*, std::size_t>> blocks;
    Bytes taken = 0;
    for (int count = 0; count < 20'000; ++count) {
        const std::size_t bytes = random() % (std::size_t{1} << (1 + random() % 19));
        blocks.emplace_back(resource.allocate(bytes), bytes);
        taken += taken_by(blocks.back().first);
        ASSERT_EQ(account.used(), taken) << bytes;
    }

    for (const auto& [place, bytes] : blocks) resource.deallocate(place, bytes);

    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedResource, ChargesWholePagesToTheByte) {
    const MemoryAccount account{"account"};
    AccountedResource resource{account};
    constexpr std::size_t always_mapped = 40 * mebibyte; // whatever other tests made of the heap

    auto* const place = resource.allocate(always_mapped);
    EXPECT_EQ(account.used(), taken_by(place));
    resource.deallocate(place, always_mapped);

    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedResource, WhatMallocTookAboveTheLimitIsRefusedAndGivenBack) {
    const FragmentedHeap heap;
    std::minstd_rand random{42};
    int refused = 0;
    for (int count = 0; count < 100'000 && refused == 0; ++count) {
        const std::size_t bytes = 5'000 + random() % 55'000;
        const auto in_use = ::mallinfo2().uordblks;
        const auto exact = std::max<Bytes>(32, (bytes + header + 15) / 16 * 16);
        const MemoryAccount account{"account", exact};
        AccountedResource resource{account};
        try {
            resource.deallocate(resource.allocate(bytes), bytes);
        } catch (const MemoryRefusedException&) {
            ++refused;
        }
        ASSERT_EQ(account.used(), 0u) << bytes;
        ASSERT_LT(::mallinfo2().uordblks, in_use + bytes) << "the block is free again";
    }
    EXPECT_GT(refused, 0) << "no gap was a little too large";
}

TEST(AccountedResource, WhatTheHeapDoesNotHaveIsNotCharged) {
    const MemoryAccount account{"account"};
    AccountedResource resource{account};

    EXPECT_THROW(static_cast<void>(resource.allocate(std::size_t{1} << 61)), std::bad_alloc);

    EXPECT_EQ(account.used(), 0u);
}

TEST(ReservedResource, WhatTheHeapDoesNotHaveIsNotTaken) {
    const MemoryAccount account{"account"};
    constexpr auto reserved = Bytes{1} << 62;
    ReservedResource resource{*account.try_reserve(reserved)};

    EXPECT_THROW(static_cast<void>(resource.allocate(std::size_t{1} << 61)), std::bad_alloc);

    EXPECT_EQ(resource.left(), reserved);
}
#endif

TEST(AccountedMemory, TheAlignmentThatMallocGivesAnyhowCostsNothing) {
    EXPECT_EQ(charge_for(100, 16), charge_for(100));
    EXPECT_GT(charge_for(100, 32), charge_for(100));
}

TEST(AccountedMemory, AnImpossibleAlignmentIsAboveEveryLimit) {
    EXPECT_EQ(charge_for(1, std::size_t{1} << 63), unlimited_units);
}

TEST(AccountedMemory, ARefusalWithoutADetailIsABadAllocAsAnyOther) {
    const MemoryRefusedException refused{Error{Errc::memory_limit_exceeded}};

    EXPECT_STREQ(refused.what(), std::bad_alloc{}.what());
}

TEST(AccountedMemory, AnImpossibleSizeIsRefusedAndTakesNothingFromOthersMeanwhile) {
    const auto account = MemoryAccount::unlimited();
    AccountedResource resource{account};

    EXPECT_THROW(static_cast<void>(resource.allocate(std::size_t{1} << 62)), MemoryRefusedException);

    EXPECT_EQ(account.peak(), 0u);
}

TEST(AccountedMemory, AnImpossibleSizeIsRefusedAndNotWrapped) {
    const MemoryAccount account{"account", 1000};
    AccountedResource resource{account};
    const volatile auto impossible = std::numeric_limits<std::size_t>::max(); // or the compiler would complain

    EXPECT_THROW(static_cast<void>(resource.allocate(impossible)), MemoryRefusedException);
    EXPECT_THROW(static_cast<void>(
                     AccountedAllocator<std::uint64_t>{account}.allocate(std::numeric_limits<std::size_t>::max() / 4)),
                 std::bad_array_new_length);
    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedResource, ChargesWhileABlockIsInUse) {
    const MemoryAccount account{"account"};
    AccountedResource resource{account};

    void* const place = resource.allocate(100);
    EXPECT_GE(account.used(), 112u);
    EXPECT_LE(account.used(), charge_for(100));
    resource.deallocate(place, 100);

    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedResource, ChargesAndGivesBackTheSameForAnAlignedBlock) {
    const MemoryAccount account{"account"};
    AccountedResource resource{account};

    void* const place = resource.allocate(100, 64);
    EXPECT_EQ(account.used(), charge_for(100, 64));
    resource.deallocate(place, 100, 64);

    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedResource, ThrowsABadAllocThatSaysWhoRefused) {
    for (const auto& [bytes, asked] : {std::pair{101U, "112 bytes"}, std::pair{1U, "32 bytes"}}) {
        const MemoryAccount account{"windows", bytes < 100 ? 31U : 100U};
        AccountedResource resource{account};
        try {
            static_cast<void>(resource.allocate(bytes));
            FAIL() << "granted above the limit";
        } catch (const std::bad_alloc& exception) {
            EXPECT_NE(std::string{exception.what()}.find(std::string{"'windows' asked for "} + asked),
                      std::string::npos)
                << exception.what();
            EXPECT_EQ(dynamic_cast<const MemoryRefusedException&>(exception).error(), Errc::memory_limit_exceeded);
        }
    }
}

TEST(AccountedResource, AContainerKeepsWhatItHasWhenMoreIsRefused) {
    const MemoryAccount account{"groups", 10'000};
    AccountedResource resource{account};
    std::pmr::map<int, std::pmr::string> groups{&resource};
    int added = 0;
    EXPECT_THROW(for (;; ++added) groups.emplace(added, std::string(100, 'x')), MemoryRefusedException);

    EXPECT_EQ(groups.size(), static_cast<std::size_t>(added));
    EXPECT_GT(added, 30);
    EXPECT_LE(account.used(), 10'000u);
    groups.clear();
    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedResource, MayBeGivenBackByAThreadThatReservedNothing) {
    const MemoryAccount account{"account", 1000};
    AccountedResource resource{account};
    void* const place = resource.allocate(500);

    std::thread{[&] { resource.deallocate(place, 500); }}.join();

    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedResource, ThoseOfOneAccountAreEqual) {
    const MemoryAccount account{"account"};
    const AccountedResource one{account}, same{account}, other{MemoryAccount{"other"}};

    EXPECT_TRUE(one == same);
    EXPECT_FALSE(one == other);
    EXPECT_FALSE(one == *std::pmr::new_delete_resource());
}

TEST(ReservedResource, RefusesNothingInsideItsReservation) {
    const MemoryAccount account{"account", 1000};
    ReservedResource resource{*account.try_reserve(1000)};
    std::pmr::vector<std::byte> batch{&resource};
    EXPECT_FALSE(account.try_reserve(1)) << "all is reserved";

    batch.resize(900);

    EXPECT_EQ(resource.left(), 1000 - charge_for(900));
    EXPECT_THROW(batch.resize(1000), MemoryRefusedException);
    EXPECT_EQ(batch.size(), 900u);
    batch = std::pmr::vector<std::byte>{&resource};
    batch.shrink_to_fit();
    EXPECT_EQ(resource.left(), 1000u);
}

TEST(ReservedResource, GivesOutTheLastByteThatIsLeft) {
    const MemoryAccount account{"account", 1000};
    ReservedResource resource{*account.try_reserve(charge_for(100))};

    void* const place = resource.allocate(100);
    EXPECT_EQ(resource.left(), 0u);
    resource.deallocate(place, 100);

    EXPECT_EQ(resource.left(), charge_for(100));
}

TEST(ReservedResource, GivesItsReservationBackWhenItEnds) {
    const MemoryAccount account{"account", 1000};
    {
        const ReservedResource resource{*account.try_reserve(1000)};
    }

    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedArena, ChargesByTheChunkAndGivesAllBackAtOnce) {
    const MemoryAccount account{"window"};
    AccountedArena arena{account, 4096};
    std::pmr::vector<std::pmr::string> records{&arena};
    records.emplace_back(std::string(40, 'a'));
    const auto first_chunk = account.used();
    EXPECT_GE(first_chunk, 4096u);
    for (int i = 0; i < 20; ++i) records.emplace_back(std::string(40, 'b'));
    EXPECT_EQ(account.used(), first_chunk) << "small pieces come out of the chunk";
    for (int i = 0; i < 1000; ++i) records.emplace_back(std::string(40, 'c'));
    EXPECT_GT(account.used(), 10 * first_chunk);

    std::pmr::vector<std::pmr::string>{&arena}.swap(records);
    arena.clear();

    EXPECT_EQ(account.used(), 0u);
}

TEST(AccountedArena, ThrowsWhenAChunkIsRefused) {
    const MemoryAccount account{"window", 10'000};
    AccountedArena arena{account, 4096};

    EXPECT_THROW(for (;;) static_cast<void>(arena.allocate(100)), MemoryRefusedException);
    EXPECT_LE(account.used(), 10'000u);
}

TEST(AccountedAllocator, ChargesAContainerAndItsRehashes) {
    const MemoryAccount account{"groups", 100'000};
    using Allocator = AccountedAllocator<std::pair<const int, int>>;
    std::unordered_map<int, int, std::hash<int>, std::equal_to<>, Allocator> groups{Allocator{account}};
    int added = 0;
    try {
        for (;; ++added) groups.emplace(added, added);
    } catch (const MemoryRefusedException&) {
        EXPECT_EQ(groups.size(), static_cast<std::size_t>(added)) << "the map is as it was before";
    }
    EXPECT_GT(added, 500);
    EXPECT_GT(account.peak(), 60'000u);
    groups = decltype(groups){Allocator{account}};
    EXPECT_LT(account.used(), 1000u);
}

TEST(AccountedAllocator, ThoseOfOneAccountAreEqual) {
    const MemoryAccount account{"account"};
    const AccountedAllocator<int> one{account}, other{MemoryAccount{"other"}};

    EXPECT_TRUE(one == AccountedAllocator<char>{account});
    EXPECT_FALSE(one == other);
}

TEST(AccountedAllocator, BytesGoBackToTheAccountTheyCameFrom) {
    const MemoryAccount one{"one"}, other{"other"};
    using Vector = std::vector<int, AccountedAllocator<int>>;
    Vector from_one{AccountedAllocator<int>{one}}, from_other{AccountedAllocator<int>{other}};
    from_one.resize(100);
    from_other.resize(200);
    const auto in_one = one.used();
    const auto in_other = other.used();

    swap(from_one, from_other);
    EXPECT_EQ(one.used(), in_one);
    from_one = std::move(from_other); // what came from `other` goes back there

    EXPECT_EQ(one.used(), in_one);
    EXPECT_LT(other.used(), in_other);
    from_one = Vector{AccountedAllocator<int>{other}};
    EXPECT_EQ(one.used() + other.used(), 0u);
}

TEST(AccountedAllocator, LeavesAContainerThatIsMovedFromUsable) {
    const MemoryAccount account{"process", 1_MiB};
    std::vector<int, AccountedAllocator<int>> from{AccountedAllocator<int>{account}};
    from.resize(100);
    const auto moved = std::move(from);

    from.clear();
    from.push_back(1);
    auto allocator = AccountedAllocator<int>{account};
    const auto other = std::move(allocator);

    EXPECT_EQ(moved.size(), 100u);
    EXPECT_EQ(from.front(), 1);
    EXPECT_EQ(from.get_allocator().account(), account);
    EXPECT_EQ(other, allocator) << "moving one leaves it as it is, as allocators must";
}

} // namespace
} // namespace velostream
