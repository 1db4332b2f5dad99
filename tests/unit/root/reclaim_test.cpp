// SPDX-License-Identifier: Apache-2.0
#include "velostream/reclaimer.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "velostream/resource_manager.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::ManualTime;

/// Gives back pieces of what it holds.
class Cache final : public Reclaimer {
  public:
    Cache(MemoryAccount account, ReclaimKind kind, Bytes held, Bytes piece, std::vector<std::string>* calls = nullptr)
        : kind_(kind), piece_(piece), calls_(calls), held_(*account.try_reserve(held)) {}

    ReclaimKind kind() const noexcept override { return kind_; }
    Bytes estimate() const noexcept override { return held_.bytes() + pretended; }
    asio::awaitable<void> reclaim(Bytes wanted) override {
        wanted_.push_back(wanted);
        if (calls_) calls_->emplace_back(to_string(kind_));
        co_await asio::post(asio::use_awaitable);
        if (throws) throw std::runtime_error{"cannot"};
        held_.shrink(piece_);
        if (grows != 0) static_cast<void>(held_.try_grow(grows));
        if (throws_later) throw std::runtime_error{"cannot go on"};
    }

    std::vector<Bytes> wanted_;
    Bytes pretended = 0;
    bool throws = false;
    bool throws_later = false; // after it has freed something
    Bytes grows = 0;           // while it should free

  private:
    ReclaimKind kind_;
    Bytes piece_;
    std::vector<std::string>* calls_;
    MemoryReservation held_;
};

class ReclaimTest : public ::testing::Test {
  protected:
    static StreamingConfig config() { return {.max_memory_mb = 100}; } // high at 80 MiB
    void run() {
        io.restart();
        io.poll();
    }
    auto cache(ReclaimKind kind, Bytes held_mb, Bytes piece_mb) {
        return std::make_shared<Cache>(account, kind, held_mb * mebibyte, piece_mb * mebibyte, &calls);
    }
    auto add(std::shared_ptr<Cache> reclaimer) {
        return resources.add_reclaimer(io.get_executor(), account, std::move(reclaimer));
    }
    Bytes used_mb() { return resources.get_memory_usage().bytes_used / mebibyte; }

    asio::io_context io;
    ManualTime time;
    ResourceManager<NoConnections, ManualTime> resources{
        io.get_executor(), config(), {.system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}}, time};
    MemoryAccount account = resources.account("caches");
    std::vector<std::string> calls;
};

TEST_F(ReclaimTest, HighPressureAsksUntilUseIsBelowTheThreshold) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    auto allocation = resources.allocate_memory("sends", 45 * mebibyte);
    EXPECT_EQ(used_mb(), 85u) << "nobody runs inside of an allocation";

    run();

    EXPECT_EQ(calls.size(), 2u);
    EXPECT_EQ(used_mb(), 75u);
    const auto stats = resources.get_reclaim_stats();
    EXPECT_EQ(stats.reclaims, 1u);
    EXPECT_EQ(stats.asked, 2u);
    EXPECT_EQ(stats.reclaimed_bytes, 10 * mebibyte);
    EXPECT_EQ(stats.failed, 0u);
    EXPECT_FALSE(stats.is_running);
}

TEST_F(ReclaimTest, NobodyIsAskedWhilePressureIsNormal) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    auto allocation = resources.allocate_memory("sends", 39 * mebibyte);
    run();

    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, CheaperKindsComeFirst) {
    auto spill = add(cache(ReclaimKind::spill, 30, 30));
    auto expired = add(cache(ReclaimKind::expired, 2, 2));
    auto flush = add(cache(ReclaimKind::flush, 2, 2));
    auto allocation = resources.allocate_memory("sends", 50 * mebibyte);
    run();

    EXPECT_EQ(calls, (std::vector<std::string>{"expired", "flush", "spill"}));
}

TEST_F(ReclaimTest, OneThatThrowsOrFreesNothingIsCountedAndPassedOver) {
    auto throwing = cache(ReclaimKind::expired, 10, 1);
    throwing->throws = true;
    auto idle = cache(ReclaimKind::flush, 10, 0);
    auto first = add(throwing);
    auto second = add(idle);
    auto third = add(cache(ReclaimKind::spill, 30, 30));
    auto allocation = resources.allocate_memory("sends", 45 * mebibyte);
    run();

    EXPECT_EQ(calls, (std::vector<std::string>{"expired", "flush", "spill"}));
    EXPECT_EQ(resources.get_reclaim_stats().failed, 2u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 30 * mebibyte);
}

TEST_F(ReclaimTest, OneThatThrowsIsPassedOverThoughItFreedSomething) {
    auto throwing = cache(ReclaimKind::flush, 30, 10);
    throwing->throws_later = true;
    auto registered = add(throwing);
    auto allocation = resources.allocate_memory("sends", 69 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_EQ(used_mb(), 89u) << "above the threshold: another would have been asked again";
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 10 * mebibyte);
}

TEST_F(ReclaimTest, OneThatHoldsMoreAfterwardsHasFreedNothing) {
    auto growing = cache(ReclaimKind::flush, 40, 0);
    growing->grows = mebibyte;
    auto registered = add(growing);
    auto allocation = resources.allocate_memory("sends", 45 * mebibyte);
    run();

    EXPECT_EQ(used_mb(), 86u);
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 0u);
}

TEST_F(ReclaimTest, AfterASuccessTheNextOneNeedNotWait) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    auto allocation = resources.allocate_memory("sends", 40 * mebibyte);
    run();
    ASSERT_EQ(calls.size(), 1u);

    auto more = resources.allocate_memory("sends", 5 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 2u);
}

TEST_F(ReclaimTest, WhatNeedsLessDoesNotLowerWhatIsWantedAlready) {
    auto reclaimer = cache(ReclaimKind::spill, 70, 70);
    auto registered = add(reclaimer);
    EXPECT_FALSE(resources.allocate_memory("sends", 50 * mebibyte));     // wants use to be 20 MiB
    auto allocation = resources.allocate_memory("sends", 15 * mebibyte); // and the threshold just below 80

    run();

    EXPECT_EQ(reclaimer->wanted_.front(), 65 * mebibyte);
}

TEST_F(ReclaimTest, WhatIsClaimedAndNotFreedDoesNotCount) {
    auto liar = cache(ReclaimKind::flush, 1, 0);
    liar->pretended = 1000 * mebibyte;
    auto registered = add(liar);
    auto allocation = resources.allocate_memory("sends", 90 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_EQ(resources.get_reclaim_stats().reclaimed_bytes, 0u);
}

TEST_F(ReclaimTest, WhenNobodyIsLeftNobodyIsAskedForAWhile) {
    auto registered = add(cache(ReclaimKind::flush, 10, 0));
    auto allocation = resources.allocate_memory("sends", 80 * mebibyte);
    run();
    ASSERT_EQ(calls.size(), 1u);

    auto more = resources.allocate_memory("sends", 1);
    run();
    EXPECT_EQ(calls.size(), 1u);
    time.advance(250ms);
    auto later = resources.allocate_memory("sends", 1);
    run();

    EXPECT_EQ(calls.size(), 2u);
}

TEST_F(ReclaimTest, ARefusedAllocationAsksForWhatItWanted) {
    auto reclaimer = cache(ReclaimKind::spill, 70, 30);
    auto registered = add(reclaimer);

    const auto refused = resources.allocate_memory("sends", 50 * mebibyte);
    EXPECT_FALSE(refused);
    run();

    EXPECT_EQ(reclaimer->wanted_.front(), 50 * mebibyte);
    EXPECT_TRUE(resources.allocate_memory("sends", 50 * mebibyte));
}

TEST_F(ReclaimTest, ARequestThatCanNeverSucceedFreesNothing) {
    auto registered = add(cache(ReclaimKind::spill, 70, 30));

    EXPECT_FALSE(resources.allocate_memory("sends", 101 * mebibyte));
    run();

    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, AnAllocationThatFindsRoomOrNeverWillAsksForNothing) {
    auto registered = add(cache(ReclaimKind::spill, 60, 60));
    int ended = 0;
    const auto count = [&](const Result<Allocation>&) { ++ended; };
    for (const Bytes bytes : {15 * mebibyte, 101 * mebibyte})
        resources.async_allocate_memory("sends", bytes, TimePoint::max(),
                                        asio::bind_executor(io.get_executor(), count));
    run();

    EXPECT_EQ(ended, 2);
    EXPECT_EQ(resources.get_reclaim_stats().reclaims, 0u);
}

TEST_F(ReclaimTest, AnAllocationThatWaitsIsGrantedWhatWasFreed) {
    auto registered = add(cache(ReclaimKind::spill, 70, 10));
    std::optional<Result<Allocation>> allocation;
    resources.async_allocate_memory("sends", 50 * mebibyte, TimePoint::max(),
                                    asio::bind_executor(io.get_executor(), [&](Result<Allocation> result) {
                                        allocation.emplace(std::move(result));
                                    }));
    run();

    ASSERT_TRUE(allocation && *allocation);
    EXPECT_GE(calls.size(), 2u);
}

TEST_F(ReclaimTest, AWaitThatIsCancelledIsNoRefusalAndAsksForNothingMore) {
    auto held = resources.allocate_memory("windows", 70 * mebibyte);
    auto reclaimer = cache(ReclaimKind::spill, 5, 5);
    asio::cancellation_signal signal;
    std::optional<Result<Allocation>> allocation;
    resources.async_allocate_memory(
        "sends", 50 * mebibyte, TimePoint::max(),
        asio::bind_cancellation_slot(signal.slot(),
                                     asio::bind_executor(io.get_executor(), [&](Result<Allocation> result) {
                                         allocation.emplace(std::move(result));
                                     })));
    auto registered = add(reclaimer); // so late that only the end of the wait could ask it
    signal.emit(asio::cancellation_type::terminal);
    run();

    ASSERT_TRUE(allocation);
    EXPECT_EQ(allocation->error(), Errc::cancelled);
    EXPECT_EQ(resources.get_reclaim_stats().reclaims, 0u);
    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, ARegistrationThatEndsIsNotAsked) {
    auto registered = add(cache(ReclaimKind::flush, 40, 5));
    registered.release();
    auto allocation = resources.allocate_memory("sends", 55 * mebibyte);
    run();

    EXPECT_TRUE(calls.empty());
}

TEST_F(ReclaimTest, OneThatEndsWithItsContextEndsTheReclaimAndNotTheNext) {
    auto first = std::make_shared<Cache>(account, ReclaimKind::expired, 1 * mebibyte, mebibyte);
    {
        asio::io_context other;
        auto registered = resources.add_reclaimer(other.get_executor(), account, first);
        auto allocation = resources.allocate_memory("sends", 85 * mebibyte);
        EXPECT_TRUE(resources.get_reclaim_stats().is_running);
    }
    EXPECT_FALSE(resources.get_reclaim_stats().is_running);

    auto registered = add(cache(ReclaimKind::flush, 10, 10));
    auto allocation = resources.allocate_memory("sends", 80 * mebibyte);
    run();
    EXPECT_EQ(calls.size(), 1u);
}

TEST_F(ReclaimTest, AListenerIsToldTheLevelOnItsExecutorOnceForManyChanges) {
    std::vector<PressureLevel> told;
    auto registered =
        resources.add_pressure_listener(io.get_executor(), [&](PressureLevel level) { told.push_back(level); });
    {
        auto high = resources.allocate_memory("sends", 85 * mebibyte);
        auto critical = resources.allocate_memory("sends", 10 * mebibyte);
        EXPECT_TRUE(told.empty());
        run();
        EXPECT_EQ(told, (std::vector<PressureLevel>{PressureLevel::critical}));
        time.advance(1s);
    }
    time.advance(1s);
    static_cast<void>(resources.get_memory_stats()); // critical, high, normal by now
    run();

    EXPECT_EQ(told, (std::vector<PressureLevel>{PressureLevel::critical, PressureLevel::normal}));
    registered.release();
    auto high = resources.allocate_memory("sends", 85 * mebibyte);
    run();
    EXPECT_EQ(told.size(), 2u);
}

} // namespace
} // namespace velostream
