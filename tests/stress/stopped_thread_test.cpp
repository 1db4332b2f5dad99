// SPDX-License-Identifier: Apache-2.0
// A thread that stops anywhere in the middle of a call stops no other: it is stopped by a signal, wherever it happens
// to be, and the others must go on.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "support/stopped_thread.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream::stopped_thread_test {
namespace {

using testing::Victim;

constexpr int stops = 300;

// Nothing is refused here: the text of a refusal is allocated, and a thread may well be stopped with a lock of the
// heap.
TEST(StoppedThread, HoldsUpNoReservationOfOthers) {
    constexpr Bytes limit = 3000; // so small that every call goes through the tree
    const MemoryAccount process{"process", limit};
    const std::array accounts{process.child("left", 1000), process.child("right", 1000)};
    Victim victim{[&] {
        auto one = accounts[0].try_reserve(600);
        auto two = process.try_reserve(400);
        two->shrink(100);
    }};

    for (int stop = 0; stop < stops; ++stop) {
        victim.while_stopped([&] {
            std::array<std::thread, 2> others;
            for (std::size_t index = 0; index < others.size(); ++index)
                others[index] = std::thread{[&, index] {
                    for (int round = 0; round < 20; ++round) {
                        auto reserved = accounts[1].try_reserve(400 + index);
                        ASSERT_TRUE(reserved);
                        ASSERT_TRUE(reserved->try_grow(10));
                    }
                }};
            for (auto& other : others) other.join();
        });
    }
}

// There are accounts enough that are used again: a new one is allocated, see above.
TEST(StoppedThread, HoldsUpNobodyWhoMakesAnAccountOrEndsOne) {
    const MemoryAccount process{"process", 3000};
    {
        std::array<std::optional<MemoryAccount>, 8> made;
        for (auto& account : made) account = process.child("account");
    }
    const auto make_one = [&] {
        const auto query = process.child("query", 2000, AccountRole::query);
        const auto part = query.child("part");
        ASSERT_TRUE(part.try_reserve(700));
    };
    Victim victim{make_one};

    for (int stop = 0; stop < stops; ++stop) {
        victim.while_stopped([&] {
            std::array<std::thread, 2> others;
            for (auto& other : others)
                other = std::thread{[&] {
                    for (int round = 0; round < 10; ++round) {
                        make_one();
                        process.for_each(AccountRole::query, [](const MemoryAccount& query) { query.set_limit(2000); });
                        process.set_limit(3000);
                    }
                }};
            for (auto& other : others) other.join();
        });
    }
}

class Request final : public MemoryWaiter {
  public:
    using MemoryWaiter::MemoryWaiter;

  private:
    void on_end(Result<MemoryReservation>) noexcept override {} // gives back at once
};

// The victim is stopped while it comes, is granted or leaves.
TEST(StoppedThread, HoldsUpNobodyWhoGivesBackWhileSomeWait) {
    const MemoryAccount process{"process", 1000};
    const auto account = process.child("account");
    std::vector<std::shared_ptr<Request>> requests(50 * stops);
    for (auto& request : requests) request = std::make_shared<Request>(account, 950);
    std::atomic<std::size_t> next{0};
    auto mine = process.try_reserve(100);
    {
        Victim victim{[&] {
            if (next == requests.size()) return;
            const auto& request = requests[next];
            if (!request->try_now()) {
                MemoryWaiter::wait(request);
                MemoryWaiter::leave(request);
            }
            ++next;
        }};
        for (int stop = 0; stop < stops && next < requests.size(); ++stop) {
            victim.while_stopped([&] { mine->release(); });
            do mine = process.try_reserve(100);
            while (!mine);
        }
    }

    mine->release();
    EXPECT_EQ(process.used(), 0u);
    EXPECT_EQ(process.waiting(), 0u);
    EXPECT_TRUE(process.try_reserve(1000));
}

class KeptRequest final : public MemoryWaiter {
  public:
    using MemoryWaiter::MemoryWaiter;
    MemoryReservation granted;
    std::atomic<bool> is_granted{false};

  private:
    void on_end(Result<MemoryReservation> result) noexcept override {
        granted = std::move(*result);
        is_granted = true;
    }
};

struct WaitersBehindAVictim : ::testing::Test {
    static constexpr std::size_t at_once = 4;

    const MemoryAccount process{"process", 1000};
    const MemoryAccount query = process.child("query", 500), other = process.child("other");

    /// Waits at the process and at the query, behind `in_query` and `rest`.
    std::shared_ptr<KeptRequest> wait_for(const MemoryAccount& account) {
        auto request = std::make_shared<KeptRequest>(account, 150);
        if (auto now = request->try_now()) {
            request->granted = std::move(**now);
            request->is_granted = true;
        } else {
            MemoryWaiter::wait(request);
        }
        return request;
    }
};

// It waits, leaves, is granted and gives back, among others who wait; it also serves those, and may be stopped when it
// is just about to tell one of them.
TEST_F(WaitersBehindAVictim, AreGrantedWhenOthersGiveBackWhereverItIsStopped) {
    std::vector<std::shared_ptr<Request>> requests(100 * stops);
    for (std::size_t index = 0; index < requests.size(); ++index)
        requests[index] = std::make_shared<Request>(index % 2 == 0 ? query : other, 40);
    std::atomic<std::size_t> next{0};
    Victim victim{[&] {
        const auto& request = requests[next];
        if (!request->try_now()) {
            MemoryWaiter::wait(request);
            MemoryWaiter::leave(request);
        }
        if (next + 1 < requests.size()) ++next;
    }};

    for (int stop = 0; stop < stops && next + 1 < requests.size(); ++stop) {
        auto in_query = query.try_reserve(440);
        auto rest = process.try_reserve(510);
        if (!in_query || !rest) continue; // the victim waits just now
        std::array<std::shared_ptr<KeptRequest>, at_once> waiting;
        for (std::size_t index = 0; index < at_once; ++index) waiting[index] = wait_for(index % 2 == 0 ? query : other);

        std::size_t granted = 0;
        victim.while_stopped([&] {
            in_query->release();
            rest->release();
            for (const auto& request : waiting) granted += request->is_granted ? 1u : 0u;
        });

        EXPECT_GE(granted, at_once - 1) << "but for the one that it was about to tell";
        for (const auto& request : waiting) {
            while (!request->is_granted) std::this_thread::yield();
        }
    }
}

} // namespace
} // namespace velostream::stopped_thread_test
