// SPDX-License-Identifier: Apache-2.0
// What comes while one looks for a reclaimer, and what is left of one that is asked when its manager or context ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "reclaim_coordinator.hpp"
#include "reclaim_fixture.hpp"

namespace velostream {
namespace {

/// Has nothing to give.
struct Useless final : Reclaimer {
    ReclaimKind kind() const noexcept override { return ReclaimKind::spill; }
    Bytes estimate() const noexcept override { return on_estimate(), 0; }
    asio::awaitable<void> reclaim(Bytes) override { co_return; }
    std::function<void()> on_estimate = [] {};
};

/// Frees something, and does not end.
struct Endless final : Reclaimer {
    explicit Endless(const MemoryAccount& account) : held(account.try_reserve(10 * mebibyte).value()) {}
    ReclaimKind kind() const noexcept override { return ReclaimKind::spill; }
    Bytes estimate() const noexcept override { return held.bytes(); }
    asio::awaitable<void> reclaim(Bytes) override {
        held.shrink(mebibyte);
        asio::steady_timer timer{co_await asio::this_coro::executor};
        timer.expires_at(asio::steady_timer::time_point::max());
        auto waiting = timer.async_wait(asio::use_awaitable);
        co_await std::move(waiting);
    }
    MemoryReservation held;
};

TEST_F(ReclaimTest, OneLooksAtATimeThoughTheExecutorRunsAnother) {
    const auto useless = std::make_shared<Useless>();
    int inside = 0, most = 0, looks = 0;
    std::optional<Registration> another;
    useless->on_estimate = [&] {
        most = std::max(most, ++inside);
        if (++looks == 1) {
            another = add(cache(ReclaimKind::pause, 1, 0)); // wants another look
            io.poll();                                      // as another thread would
        }
        --inside;
    };
    const auto registered = resources.add_reclaimer(io.get_executor(), account, useless);
    const auto allocation = resources.allocate_memory("sends", 85 * mebibyte);

    run();

    EXPECT_EQ(most, 1);
    EXPECT_GE(looks, 2) << "who came meanwhile left word";
}

TEST_F(ReclaimTest, OneThatEndsWithItsContextHasFailedThoughItFreedSomething) {
    const auto allocation = resources.allocate_memory("sends", 75 * mebibyte);
    {
        asio::io_context other;
        const auto registered =
            resources.add_reclaimer(other.get_executor(), account, std::make_shared<Endless>(account));
        static_cast<void>(resources.get_memory_stats());
        run();
        other.poll();
        EXPECT_EQ(used_mb(), 84u);
    }
    run();

    EXPECT_EQ(resources.get_reclaim_stats().asked, 1u);
    EXPECT_EQ(resources.get_reclaim_stats().failed, 1u);
}

struct EndedManagerTest : ReclaimTest {
    std::optional<ResourceManager<NoConnections, ManualTime>> short_lived{
        std::in_place, io.get_executor(), config(),
        ResourceManagerOptions{.system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}}, time};
};

TEST_F(EndedManagerTest, LooksForNobody) {
    const auto useless = std::make_shared<Useless>();
    int looks = 0;
    useless->on_estimate = [&] { ++looks; };
    const auto registered = short_lived->add_reclaimer(io.get_executor(), short_lived->memory(), useless);
    const auto allocation = short_lived->allocate_memory("sends", 90 * mebibyte);
    run();
    ASSERT_GE(looks, 1);
    time.advance(1s);
    looks = 0;

    short_lived.reset();
    run();

    EXPECT_EQ(looks, 0);
}

TEST_F(EndedManagerTest, KeepsNoReclaimerThoughAnAllocationOutlivesIt) {
    const auto allocation = short_lived->allocate_memory("sends", 80 * mebibyte);
    std::weak_ptr<Reclaimer> asked;
    {
        asio::io_context other;
        auto endless = std::make_shared<Endless>(short_lived->memory());
        asked = endless;
        const auto registered =
            short_lived->add_reclaimer(other.get_executor(), short_lived->memory(), std::move(endless));
        static_cast<void>(short_lived->get_memory_stats());
        run();
        other.poll();
        EXPECT_EQ(short_lived->get_reclaim_stats().asked, 1u);
        short_lived.reset();
    }

    EXPECT_TRUE(asked.expired());
}

TEST(ReclaimCoordinator, ATimeForWhichThereWasNoMemoryIsWatchedFromTheNextLookOn) {
    asio::io_context io, other;
    const MemoryAccount process{"process", 100 * mebibyte};
    int settings = 0;
    const auto set_alarm = [&](Alarm&, const asio::any_io_executor&, TimePoint, const Alarm::OnEnd&) {
        if (++settings == 1) throw std::bad_alloc{};
    };
    const auto coordinator =
        std::make_shared<ReclaimCoordinator>(process, io.get_executor(), set_alarm,
                                             ReclaimCoordinator::Means{.clock = [] { return TimePoint{}; },
                                                                       .excess = [] { return Bytes{mebibyte}; },
                                                                       .look_soon = [] {},
                                                                       .rest = 250ms,
                                                                       .timeout = 30s});
    const auto registered = coordinator->add(other.get_executor(), process, std::make_shared<Endless>(process));
    coordinator->look();
    ASSERT_EQ(coordinator->stats().asked, 1u);
    ASSERT_EQ(settings, 1);

    coordinator->look();

    EXPECT_EQ(settings, 2);
}

} // namespace
} // namespace velostream
