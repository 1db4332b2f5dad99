// SPDX-License-Identifier: Apache-2.0
// A thread that stops anywhere in the middle of a call stops no other: it is stopped by a signal, wherever it happens
// to be, and the others must go on.
#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "velostream/core/memory_account.hpp"
#include "velostream/core/memory_waiter.hpp"

namespace velostream {
namespace {

std::atomic<int> stopped{0}, may_go_on{0};

void stop_here(int) {
    const int number = ++stopped;
    while (may_go_on < number) continue; // all that is safe in a signal handler
}

/// The thread that is stopped again and again.
class Victim {
  public:
    template <class Work>
    explicit Victim(Work work)
        : thread_([this, work] {
              work(); // its first call takes a seat, under a lock of the C library
              has_begun_ = true;
              while (!ends_) work();
          }) {
        struct sigaction action{};
        action.sa_handler = &stop_here;
        sigaction(SIGUSR1, &action, nullptr);
        while (!has_begun_) std::this_thread::yield();
    }
    ~Victim() {
        ends_ = true;
        thread_.join();
    }
    template <class Meanwhile>
    void while_stopped(Meanwhile meanwhile) {
        const int number = stopped + 1;
        pthread_kill(thread_.native_handle(), SIGUSR1);
        while (stopped < number) std::this_thread::yield();
        meanwhile();
        may_go_on = number;
    }

  private:
    std::atomic<bool> ends_{false}, has_begun_{false};
    std::thread thread_;
};

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

class Request final : public MemoryWaiter {
  public:
    using MemoryWaiter::MemoryWaiter;

  private:
    void on_end(Result<MemoryReservation>) noexcept override {} // gives back at once
};

// The victim is stopped while it queues, drains or leaves; what others give back meanwhile is only noted down.
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

} // namespace
} // namespace velostream
