// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/memory_account.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/held_bytes.hpp"
#include "velostream/core/joint_reservation.hpp"

namespace velostream::memory_account_test {
namespace {

constexpr int threads = 4;
constexpr int rounds = 50000;
constexpr Bytes limit = 64 * 1024;
constexpr Bytes query_limit = 40 * 1024;

template <class Work>
void on_every_thread(Work work) {
    std::latch all_there{threads};
    std::vector<std::jthread> running;
    for (int thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
            all_there.arrive_and_wait();
            work(thread);
        });
    }
}

TEST(MemoryAccountStress, NoLevelEverHoldsMoreThanItsLimitAndAllComesBack) {
    const MemoryAccount process{"process", limit};
    const std::array queries{process.child("left", query_limit), process.child("right", query_limit)};
    testing::HeldBytes in_process;
    std::array<testing::HeldBytes, 2> in_query;
    std::atomic<std::uint64_t> granted{0};

    on_every_thread([&](int thread) {
        std::minstd_rand random{static_cast<std::uint32_t>(thread + 1)};
        const auto half = static_cast<std::size_t>(thread % 2);
        const auto account = queries[half].child("operator");
        for (int round = 0; round < rounds; ++round) {
            const Bytes bytes = 1 + random() % (random() % 8 == 0 ? 30000 : 3000);
            auto reservation = account.try_reserve(bytes);
            if (!reservation) continue;
            ++granted;
            in_query[half].add(bytes, query_limit);
            in_process.add(bytes, limit);
            if (random() % 16 == 0) static_cast<void>(process.used());
            in_process.subtract(bytes);
            in_query[half].subtract(bytes);
        }
    });

    EXPECT_FALSE(in_process.exceeded());
    EXPECT_FALSE(in_query[0].exceeded() || in_query[1].exceeded());
    EXPECT_GT(granted, 0u);
    EXPECT_EQ(process.used(), 0u);
    EXPECT_TRUE(queries[0].try_reserve(query_limit));
    EXPECT_TRUE(process.try_reserve(limit));
}

TEST(MemoryAccountStress, WhatIsTakenTogetherAndTransferredStaysWithinEveryLimit) {
    const MemoryAccount process{"process", limit};
    const std::array queries{process.child("left", query_limit), process.child("right", query_limit)};
    testing::HeldBytes in_process;
    std::array<testing::HeldBytes, 2> in_query;
    std::atomic<std::uint64_t> granted{0}, transferred{0}, seen_too_little{0};

    on_every_thread([&](int thread) {
        std::minstd_rand random{static_cast<std::uint32_t>(thread + 1)};
        for (int round = 0; round < rounds / 4; ++round) {
            const std::array<Bytes, 2> bytes{1 + random() % 15000, 1 + random() % 15000};
            auto both = try_reserve_all({{queries[0], bytes[0]}, {queries[1], bytes[1]}});
            if (!both) continue;
            ++granted;
            in_process.add(bytes[0] + bytes[1], limit);
            for (const auto half : {0U, 1U}) in_query[half].add(bytes[half], query_limit);
            if (process.used() < bytes[0] + bytes[1]) ++seen_too_little;
            for (const auto half : {0U, 1U}) in_query[half].subtract(bytes[half]);
            if ((*both)[0].try_transfer(queries[1])) ++transferred;
            in_process.subtract(bytes[0] + bytes[1]);
        }
    });

    EXPECT_FALSE(in_process.exceeded());
    EXPECT_FALSE(in_query[0].exceeded() || in_query[1].exceeded());
    EXPECT_GT(granted, 0u);
    EXPECT_GT(transferred, 0u);
    EXPECT_EQ(seen_too_little, 0u);
    EXPECT_EQ(process.used(), 0u);
    EXPECT_TRUE(try_reserve_all({{queries[0], query_limit}, {queries[1], limit - query_limit}}));
}

// Names are of accounts that end meanwhile, and whose memory other accounts get.
TEST(MemoryAccountStress, AccountsComeAndGoWhileRefusalsNameTheLargest) {
    const MemoryAccount process{"process", limit};
    const auto anchor = process.child("anchor");
    const auto most = anchor.try_reserve(limit - 4 * threads);
    std::atomic<int> unnamed{0}, misnamed{0};

    on_every_thread([&](int thread) {
        const auto mine = "a name that fits in no small string of thread " + std::to_string(thread);
        for (int round = 0; round < rounds / 10; ++round) {
            const auto account = process.child(mine);
            const auto held = account.try_reserve(static_cast<Bytes>(1 + round % 4));
            const auto refused = account.try_reserve(limit - 1);
            if (refused || !held) continue;
            const std::string detail{refused.error().detail()};
            if (detail.find("largest: anchor 65520") == std::string::npos) ++unnamed;
            // A holder is an account as a whole: its name and what it holds.
            auto at = detail.find(", a name");
            for (; at != std::string::npos; at = detail.find(", a name", at + 1)) {
                const auto end = detail.find_first_of(",;", at + 1);
                const auto figure = detail.substr(detail.rfind(' ', end), end - detail.rfind(' ', end));
                if (detail.compare(at + 2, mine.size() - 1, mine, 0, mine.size() - 1) != 0 || figure.size() != 2)
                    ++misnamed;
            }
        }
    });

    EXPECT_EQ(unnamed, 0);
    EXPECT_EQ(misnamed, 0);
    EXPECT_EQ(process.used(), limit - 4 * threads);
}

TEST(MemoryAccountStress, WhatFitsTogetherIsNeverRefused) {
    const MemoryAccount process{"process", threads * Bytes{5000}};
    std::atomic<int> refused{0};

    on_every_thread([&](int) {
        const auto account = process.child("operator");
        for (int round = 0; round < rounds; ++round) {
            auto first = account.try_reserve(2000);
            auto second = account.try_reserve(3000);
            if (!first || !second) ++refused;
        }
    });

    EXPECT_EQ(refused, 0);
    EXPECT_EQ(process.used(), 0u);
}

TEST(MemoryAccountStress, ReservationsAreGivenBackByOtherThreads) {
    const MemoryAccount process{"process", limit};
    const auto account = process.child("operator");
    std::array<std::atomic<MemoryReservation*>, threads> slots{};

    on_every_thread([&](int thread) {
        std::minstd_rand random{static_cast<std::uint32_t>(thread + 1)};
        for (int round = 0; round < rounds; ++round) {
            auto reservation = account.try_reserve(1 + random() % 5000);
            auto* fresh = reservation ? new MemoryReservation{std::move(*reservation)} : nullptr;
            delete slots[random() % threads].exchange(fresh);
        }
    });
    for (auto& slot : slots) delete slot.exchange(nullptr);

    EXPECT_EQ(process.used(), 0u);
    EXPECT_TRUE(account.try_reserve(limit));
}

TEST(MemoryAccountStress, AccountsComeAndGoWhileTheirTreeIsInUse) {
    const MemoryAccount process{"process", limit};
    std::atomic<bool> granted_twice{false};

    on_every_thread([&](int thread) {
        std::minstd_rand random{static_cast<std::uint32_t>(thread + 1)};
        for (int round = 0; round < rounds / 8; ++round) {
            const auto query = process.child("query", query_limit);
            std::optional outliving{query.child("operator")};
            auto reservation = outliving->try_reserve(1 + random() % 20000);
            auto copy = query;
            outliving.reset(); // the bytes of an account without handles still count above
            if (reservation && query.used() < reservation->bytes()) granted_twice = true;
        }
    });

    EXPECT_FALSE(granted_twice);
    EXPECT_EQ(process.used(), 0u);
    EXPECT_TRUE(process.try_reserve(limit));
}

TEST(MemoryAccountStress, ReservationsAreGivenBackWhileTheLastHandleIsDropped) {
    const MemoryAccount process{"process", limit};
    std::array<std::atomic<MemoryReservation*>, threads> slots{};

    on_every_thread([&](int thread) {
        std::minstd_rand random{static_cast<std::uint32_t>(thread + 1)};
        for (int round = 0; round < rounds / 4; ++round) {
            const bool in_tree_of_its_own = round % 2 == 0;
            const auto account = (in_tree_of_its_own ? MemoryAccount{"query"} : process).child("operator");
            for (int count = 0; count < round % 8; ++count) static_cast<void>(account.try_reserve(4096).has_value());
            auto reservation = account.try_reserve(1 + random() % 5000);
            auto* fresh = reservation ? new MemoryReservation{std::move(*reservation)} : nullptr;
            delete slots[random() % threads].exchange(fresh);
        }
    });
    for (auto& slot : slots) delete slot.exchange(nullptr);

    EXPECT_EQ(process.used(), 0u);
    EXPECT_TRUE(process.try_reserve(limit));
}

TEST(MemoryAccountStress, LimitsChangeWhileTheTreeIsInUse) {
    const MemoryAccount process{"process", limit};
    const auto query = process.child("query");
    testing::HeldBytes held;

    on_every_thread([&](int thread) {
        std::minstd_rand random{static_cast<std::uint32_t>(thread + 1)};
        for (int round = 0; round < rounds; ++round) {
            if (thread == 0) {
                query.set_limit(random() % 4 == 0 ? std::nullopt : std::optional<Bytes>{random() % limit});
                continue;
            }
            auto reservation = query.try_reserve(1 + random() % 3000);
            if (!reservation) continue;
            held.add(reservation->bytes(), limit);
            held.subtract(reservation->bytes());
        }
    });

    EXPECT_FALSE(held.exceeded());
    query.set_limit(1000);
    EXPECT_EQ(query.used(), 0u);
    EXPECT_FALSE(query.try_reserve(1001));
    EXPECT_TRUE(query.try_reserve(1000));
    EXPECT_TRUE(process.try_reserve(limit));
}

TEST(MemoryAccountStress, NothingIsGrantedOnceALimitWasLoweredToNothing) {
    const MemoryAccount process{"process", 64_MiB};
    const auto query = process.child("query");
    std::atomic<unsigned> turn{0}; // odd: the limit is nothing
    std::atomic<bool> ends{false};
    std::atomic<int> granted{0}, granted_of_nothing{0};

    on_every_thread([&](int thread) {
        for (int round = 0; thread == 0 && (round < rounds / 250 || granted == 0); ++round) {
            query.set_limit(0);
            ++turn;
            std::this_thread::yield();
            ++turn;
            query.set_limit(std::nullopt);
            std::this_thread::yield();
        }
        if (thread == 0) ends = true;
        while (!ends) {
            const auto before = turn.load();
            const auto reservation = query.try_reserve(100);
            if (!reservation) continue;
            ++granted;
            if (before % 2 == 1 && turn == before) ++granted_of_nothing;
        }
    });

    EXPECT_GT(granted, 0);
    EXPECT_EQ(granted_of_nothing, 0);
    EXPECT_EQ(process.used(), 0u);
}

} // namespace
} // namespace velostream::memory_account_test
