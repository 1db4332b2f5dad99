// SPDX-License-Identifier: Apache-2.0
// Reclaimers that do not end, or not in time.
#include <gtest/gtest.h>

#include <functional>

#include "reclaim_fixture.hpp"

namespace velostream {
namespace {

/// Ends when the test says so.
class SlowReclaimer final : public Reclaimer {
  public:
    SlowReclaimer(const MemoryAccount& account, asio::any_io_executor executor, ReclaimKind kind = ReclaimKind::expired)
        : kind_(kind),
          timer_(std::move(executor), asio::steady_timer::time_point::max()),
          held_(*account.try_reserve(10 * mebibyte)) {}

    ReclaimKind kind() const noexcept override { return kind_; }
    Bytes estimate() const noexcept override { return held_.bytes(); }
    asio::awaitable<void> reclaim(Bytes) override {
        ++calls;
        auto as_error = asio::as_tuple(asio::use_awaitable);
        co_await timer_.async_wait(as_error);
        held_.shrink(mebibyte);
    }
    void end() { timer_.cancel(); }

    int calls = 0;

  private:
    const ReclaimKind kind_;
    asio::steady_timer timer_;
    MemoryReservation held_;
};

class ReclaimTimeoutTest : public ReclaimTest {
  protected:
    auto add_slow(ReclaimKind kind = ReclaimKind::expired) {
        slow = std::make_shared<SlowReclaimer>(account, io.get_executor(), kind);
        return resources.add_reclaimer(io.get_executor(), account, slow);
    }
    void advance(Duration by) {
        time.advance(by);
        run();
    }

    std::shared_ptr<SlowReclaimer> slow;
};

TEST_F(ReclaimTimeoutTest, OneThatDoesNotEndHasFailedAfterItsTimeAndTheNextIsAsked) {
    const auto first = add_slow();
    const auto second = add(cache(ReclaimKind::spill, 10, 10));
    const auto allocation = resources.allocate_memory("sends", 65 * mebibyte);
    run();
    advance(30s - 1ns);
    EXPECT_TRUE(calls.empty());
    EXPECT_TRUE(resources.get_reclaim_stats().is_running);

    advance(1ns);

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
    EXPECT_FALSE(resources.get_reclaim_stats().is_running);
}

TEST_F(ReclaimTimeoutTest, TheNextOneAskedHasItsTimeToo) {
    const auto quick = add(cache(ReclaimKind::expired, 1, 1));
    const auto second = add_slow(ReclaimKind::flush);
    const auto third = add(cache(ReclaimKind::spill, 10, 10));
    const auto allocation = resources.allocate_memory("sends", 65 * mebibyte);
    run();
    ASSERT_EQ(calls.size(), 1u);
    ASSERT_EQ(slow->calls, 1);

    advance(30s);

    EXPECT_EQ(calls.size(), 2u);
}

TEST_F(ReclaimTimeoutTest, WhoEndsLateEndsNobodyElsesTurn) {
    const auto first = add_slow();
    const auto late = slow;
    const auto second = add_slow(ReclaimKind::flush);
    const auto third = add(cache(ReclaimKind::spill, 10, 10));
    const auto allocation = resources.allocate_memory("sends", 65 * mebibyte);
    run();
    advance(30s);
    ASSERT_EQ(slow->calls, 1);

    late->end();
    run();

    EXPECT_TRUE(calls.empty()) << "one at a time";
}

TEST_F(ReclaimTimeoutTest, OneThatHasNotEndedIsNotAskedAgain) {
    const auto first = add_slow();
    const auto allocation = resources.allocate_memory("sends", 75 * mebibyte);
    run();
    ASSERT_EQ(slow->calls, 1);
    for (int i = 0; i < 100; ++i) {
        advance(1s);
        static_cast<void>(resources.get_memory_stats());
    }
    EXPECT_EQ(slow->calls, 1);

    slow->end();
    run();
    advance(1s);
    static_cast<void>(resources.get_memory_stats());
    run();

    EXPECT_EQ(slow->calls, 2) << "it has ended";
}

TEST_F(ReclaimTimeoutTest, WhatOneFreesAfterItsTimeCountsForNobody) {
    const auto first = add_slow();
    const auto second = add(cache(ReclaimKind::spill, 20, 20));
    const auto allocation = resources.allocate_memory("sends", 65 * mebibyte);
    run();
    advance(30s);
    const auto before = resources.get_reclaim_stats();
    EXPECT_EQ(before.reclaimed_bytes, 20 * mebibyte);

    slow->end();
    run();

    const auto after = resources.get_reclaim_stats();
    EXPECT_EQ(after.reclaimed_bytes, before.reclaimed_bytes);
    EXPECT_EQ(after.failed, before.failed);
    EXPECT_EQ(used_mb(), 65 + 9u) << "but it is room";
}

TEST_F(ReclaimTimeoutTest, OneWhoseExecutorIsStoppedIsPassedOverInTime) {
    asio::io_context stopped;
    stopped.stop();
    const auto dead = std::make_shared<Cache>(account, ReclaimKind::expired, 10 * mebibyte, mebibyte);
    const auto first = resources.add_reclaimer(stopped.get_executor(), account, dead);
    const auto second = add(cache(ReclaimKind::spill, 10, 10));
    const auto allocation = resources.allocate_memory("sends", 65 * mebibyte);
    run();
    advance(30s);

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_TRUE(dead->wanted_.empty());
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
    EXPECT_EQ(used_mb(), 75u);
}

TEST_F(ReclaimTimeoutTest, OneThatIsInTimeLeavesNoAlarm) {
    const auto registered = add(cache(ReclaimKind::spill, 20, 10));
    const auto allocation = resources.allocate_memory("sends", 65 * mebibyte);
    run();

    EXPECT_EQ(calls.size(), 1u);
    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(ReclaimTimeoutTest, AManagerThatHasEndedAsksNobody) {
    std::optional<Allocation> allocation;
    auto never = std::make_shared<Cache>(MemoryAccount{}, ReclaimKind::spill, 20 * mebibyte, mebibyte, &calls);
    {
        ResourceManager short_lived{io.get_executor(), config(), {}, time};
        const auto registered = short_lived.add_reclaimer(io.get_executor(), short_lived.memory(), never);
        allocation.emplace(*short_lived.allocate_memory("sends", 90 * mebibyte));
    }
    run();
    EXPECT_FALSE(allocation->try_grow(20 * mebibyte));
    run();

    EXPECT_TRUE(calls.empty());
    EXPECT_TRUE(io.stopped());
}

TEST_F(ReclaimTimeoutTest, AManagerThatEndsWhileItLooksForOneAsksNobody) {
    struct Ending final : Reclaimer {
        ReclaimKind kind() const noexcept override { return ReclaimKind::expired; }
        Bytes estimate() const noexcept override { return on_estimate(), mebibyte; }
        asio::awaitable<void> reclaim(Bytes) override {
            ++calls;
            co_return;
        }
        std::function<void()> on_estimate;
        int calls = 0;
    };
    std::optional<ResourceManager<NoConnections, ManualTime>> short_lived;
    short_lived.emplace(io.get_executor(), config(),
                        ResourceManagerOptions{.system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}}, time);
    const auto ending = std::make_shared<Ending>();
    ending->on_estimate = [&] { short_lived.reset(); };
    const auto registered = short_lived->add_reclaimer(io.get_executor(), short_lived->memory(), ending);
    const auto allocation = short_lived->allocate_memory("sends", 90 * mebibyte);

    run();

    EXPECT_FALSE(short_lived);
    EXPECT_EQ(ending->calls, 0);
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(ReclaimTimeoutTest, OfAManagerThatHasEndedNoAlarmIsLeftThoughOneIsAsked) {
    std::optional<Registration> registered;
    {
        ResourceManager short_lived{
            io.get_executor(), config(), {.system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}}, time};
        slow = std::make_shared<SlowReclaimer>(short_lived.memory(), io.get_executor());
        registered.emplace(short_lived.add_reclaimer(io.get_executor(), short_lived.memory(), slow));
        const auto allocation = short_lived.allocate_memory("sends", 75 * mebibyte);
        run();
        ASSERT_EQ(slow->calls, 1);
        ASSERT_GE(time.sleepers(), 1u) << "its time";
    }
    run();

    EXPECT_EQ(time.sleepers(), 0u);
    slow->end();
    run();
}

TEST_F(ReclaimTimeoutTest, TheTimeIsAnOptionAboveZero) {
    try {
        const ResourceManager wrong{io.get_executor(), config(), {.reclaim_timeout = 0s}, time};
        FAIL();
    } catch (const std::invalid_argument& problem) {
        EXPECT_NE(std::string_view{problem.what()}.find("reclaim_timeout"), std::string_view::npos) << problem.what();
    }

    ResourceManager patient{
        io.get_executor(),
        config(),
        {.reclaim_timeout = Duration::max(), .system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}},
        time};
    slow = std::make_shared<SlowReclaimer>(patient.memory(), io.get_executor());
    const auto registered = patient.add_reclaimer(io.get_executor(), patient.memory(), slow);
    const auto allocation = patient.allocate_memory("sends", 75 * mebibyte);
    run();
    advance(1000h);

    EXPECT_EQ(patient.get_reclaim_stats().failed, 0u);
    EXPECT_TRUE(patient.get_reclaim_stats().is_running);
    slow->end();
    run();
}

} // namespace
} // namespace velostream
