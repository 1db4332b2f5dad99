// SPDX-License-Identifier: Apache-2.0
// Who is asked to give memory back, for whom, and until when.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <functional>

#include "reclaim_coordinator.hpp"
#include "reclaim_fixture.hpp"

namespace velostream {
namespace {

class ReclaimAimTest : public ReclaimTest {
  protected:
    auto cache_of(const MemoryAccount& of, Bytes held_mb, Bytes piece_mb) {
        return std::make_shared<Cache>(of, ReclaimKind::spill, held_mb * mebibyte, piece_mb * mebibyte);
    }
    auto add_for(const MemoryAccount& of, std::shared_ptr<Cache> reclaimer) {
        return resources.add_reclaimer(io.get_executor(), of, std::move(reclaimer));
    }
    void wait(const MemoryAccount& at, Bytes mb) {
        async_reserve(at, mb * mebibyte, asio::bind_executor(io, [this](Result<MemoryReservation> reserved) {
                          if (reserved) granted.push_back(std::move(*reserved));
                      }));
    }
    void advance(Duration by) {
        time.advance(by);
        run();
    }

    std::vector<MemoryReservation> granted;
};

TEST_F(ReclaimAimTest, AWaitAtAQueryIsGrantedWhatTheQueryGivesBack) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 50});
    const auto own = cache_of(query->memory(), 50, 10);
    const auto registered = add_for(query->memory(), own);

    wait(query->memory(), 15);
    run();

    EXPECT_EQ(granted.size(), 1u);
    EXPECT_EQ(own->wanted_, (std::vector<Bytes>{15 * mebibyte, 5 * mebibyte}));
}

TEST_F(ReclaimAimTest, AWaitAtTheProcessIsGrantedWhatAnybodyGivesBack) {
    const auto query = resources.open_query({.name = "query"});
    const auto of_query = cache_of(query->state(), 70, 70);
    const auto registered = add_for(query->state(), of_query);
    const auto rest = resources.memory().try_reserve(9 * mebibyte);

    wait(resources.memory(), 30);
    run();

    EXPECT_EQ(granted.size(), 1u);
    EXPECT_EQ(of_query->wanted_, (std::vector<Bytes>{9 * mebibyte}));
}

TEST_F(ReclaimAimTest, OnlyThoseWithinTheLevelThatLacksRoomAreAsked) {
    resources.state().set_limit(40 * mebibyte);
    const auto other = cache_of(account, 10, 10), own = cache_of(resources.state(), 5, 5);
    const auto rest = resources.state().try_reserve(35 * mebibyte);
    const auto registered_other = add_for(account, other), registered_own = add_for(resources.state(), own);

    EXPECT_FALSE(resources.allocate_memory("state", 2 * mebibyte));
    run();

    EXPECT_TRUE(other->wanted_.empty());
    EXPECT_EQ(own->wanted_, (std::vector<Bytes>{2 * mebibyte}));
    EXPECT_TRUE(resources.allocate_memory("state", 2 * mebibyte));
}

TEST_F(ReclaimAimTest, NobodyElseIsAskedWhereNobodyWithinTheLevelIsLeft) {
    resources.traffic().set_limit(20 * mebibyte);
    const auto other = cache_of(account, 10, 10);
    const auto held = resources.traffic().try_reserve(20 * mebibyte);
    const auto registered = add_for(account, other);

    wait(resources.traffic(), 1);
    run();
    for (int i = 0; i < 10; ++i) advance(250ms);

    EXPECT_TRUE(other->wanted_.empty());
    EXPECT_TRUE(granted.empty());
}

TEST_F(ReclaimAimTest, NoMoreIsAskedForWhenThereIsRoomForWhatIsWanted) {
    const auto reclaimer = cache_of(account, 60, 1);
    const auto registered = add(reclaimer);
    EXPECT_FALSE(resources.allocate_memory("sends", 50 * mebibyte)); // lacks 10 MiB
    run();

    EXPECT_EQ(reclaimer->wanted_.size(), 10u);
    EXPECT_EQ(used_mb(), 50u);
}

TEST_F(ReclaimAimTest, NobodyIsAskedForWhatThreadsHaveAtHand) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 20});
    const auto own = cache_of(query->memory(), 5, 5);
    const auto registered = add_for(query->memory(), own);
    for (int use = 0; use < 1000; ++use) EXPECT_TRUE(query->state().try_reserve(1000));
    const auto room = 20 * mebibyte - query->memory().used();
    ASSERT_LT(20 * mebibyte - query->memory().used_at_most(), room) << "some of it is at hand";

    const auto rest = query->memory().try_reserve(room);
    run();

    EXPECT_TRUE(rest);
    EXPECT_TRUE(own->wanted_.empty());
}

TEST_F(ReclaimAimTest, EachOfThoseWhoWaitIsAskedFor) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 20});
    const auto own = cache_of(query->memory(), 20, 3);
    const auto registered = add_for(query->memory(), own);

    wait(query->memory(), 3);
    wait(query->memory(), 6);
    wait(query->memory(), 1);
    run();

    EXPECT_EQ(granted.size(), 3u);
    EXPECT_EQ(own->wanted_, (std::vector<Bytes>{3 * mebibyte, 6 * mebibyte, 3 * mebibyte, 1 * mebibyte}));
}

TEST_F(ReclaimAimTest, AWaitThatBeginsWhileNobodyIsAskedIsAskedForAfterwards) {
    const auto reclaimer = cache_of(account, 60, 0);
    const auto registered = add(reclaimer);
    const auto held = resources.memory().try_reserve(40 * mebibyte);
    run();
    ASSERT_EQ(reclaimer->wanted_.size(), 1u) << "for pressure, and it frees nothing";
    reclaimer->set_piece(30 * mebibyte);

    wait(resources.memory(), 5);
    advance(249ms);
    EXPECT_EQ(reclaimer->wanted_.size(), 1u);
    advance(1ms);

    EXPECT_EQ(reclaimer->wanted_.size(), 2u);
    EXPECT_EQ(granted.size(), 1u);
}

TEST_F(ReclaimAimTest, AWaitForWhichNobodyIsLeftIsAskedForAgainAndAgainWhileItLasts) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 20});
    const auto own = cache_of(query->memory(), 20, 0);
    const auto registered = add_for(query->memory(), own);
    asio::cancellation_signal signal;
    async_reserve(
        query->memory(), mebibyte,
        asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, [](const Result<MemoryReservation>&) {})));
    run();
    for (int i = 0; i < 3; ++i) advance(250ms);
    EXPECT_EQ(own->wanted_.size(), 4u);

    signal.emit(asio::cancellation_type::terminal);
    run();
    for (int i = 0; i < 3; ++i) advance(250ms);

    EXPECT_LE(own->wanted_.size(), 4u);
    EXPECT_TRUE(io.stopped()) << "nothing of it keeps the context running";
}

TEST_F(ReclaimAimTest, OfAManagerThatHasEndedNoAlarmIsLeftForAWaitThatGoesOn) {
    std::optional<ResourceManager<NoConnections, ManualTime>> short_lived;
    const SystemMemoryFiles nowhere{.proc = "/nowhere", .cgroup = "/nowhere"};
    short_lived.emplace(io.get_executor(), config(),
                        ResourceManagerOptions{.stall_timeout = Duration::max(), .system_files = nowhere}, time);
    const auto query = short_lived->memory().child("query", 20 * mebibyte);
    const auto registered = short_lived->add_reclaimer(io.get_executor(), query, cache_of(query, 20, 0));
    const auto kept = short_lived->allocate_memory("sends", 1);
    wait(query, 1);
    run();
    const auto with_manager = time.sleepers();

    short_lived.reset();
    run();

    EXPECT_GE(with_manager, 1u) << "it would be asked again";
    EXPECT_EQ(time.sleepers(), 0u);
}

TEST_F(ReclaimAimTest, AReclaimerThatComesWhileSomebodyWaitsIsAsked) {
    const auto held = cache_of(account, 100, 100);
    wait(resources.memory(), 5);
    run();
    ASSERT_TRUE(granted.empty());

    const auto registered = add(held);
    run();

    EXPECT_EQ(granted.size(), 1u);
}

TEST_F(ReclaimAimTest, AReclaimerThatComesWhileTheOthersAreLeftInPeaceIsAsked) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 20});
    const auto useless = cache_of(query->memory(), 5, 0);
    const auto registered = add_for(query->memory(), useless);
    const auto useful = cache_of(query->memory(), 15, 15);
    wait(query->memory(), 5);
    run();
    ASSERT_EQ(useless->wanted_.size(), 1u);
    ASSERT_TRUE(granted.empty());

    const auto also_registered = add_for(query->memory(), useful);
    run();

    EXPECT_EQ(granted.size(), 1u);
}

TEST_F(ReclaimAimTest, WhoHoldsSomethingBelowTheLevelThatLacksRoomIsAsked) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 20});
    const auto below = cache_of(query->state(), 15, 15);
    const auto registered = add_for(query->state(), below);

    wait(query->memory(), 10);
    run();

    EXPECT_EQ(granted.size(), 1u);
}

TEST_F(ReclaimAimTest, WhereNobodyCanHelpOneWhoWaitsTheOthersAreHelped) {
    for (const bool is_first : {true, false}) {
        run(); // who waited in vain has what is free now
        granted.clear();
        const auto one = resources.memory().child("one", 10 * mebibyte);
        const auto other = resources.memory().child("other", 10 * mebibyte);
        const auto full = (is_first ? one : other).try_reserve(10 * mebibyte);
        const auto& helped = is_first ? other : one;
        const auto reclaimer = cache_of(helped, 10, 10);
        const auto registered = add_for(helped, reclaimer);

        wait(one, 5);
        wait(other, 5);
        run();

        EXPECT_EQ(granted.size(), 1u) << is_first;
    }
}

TEST_F(ReclaimAimTest, OneWhoWaitsWhereTheLimitFellBelowWhatIsUsedIsAskedFor) {
    const auto query = resources.open_query({.name = "query", .max_memory_mb = 20});
    const auto own = cache_of(query->memory(), 20, 10);
    const auto registered = add_for(query->memory(), own);
    query->memory().set_limit(10 * mebibyte);

    wait(query->memory(), 5);
    run();

    EXPECT_EQ(own->wanted_.size(), 2u);
    EXPECT_EQ(granted.size(), 1u);
}

TEST_F(ReclaimAimTest, NobodyIsAskedForPlacesOfQueriesOrConnections) {
    const auto reclaimer = cache_of(account, 10, 10);
    const auto registered = add(reclaimer);
    const auto places = resources.queries().try_reserve(100);

    wait(resources.queries(), 0);
    async_reserve(resources.queries(), 1, asio::bind_executor(io, [](const Result<MemoryReservation>&) {}));
    run();

    EXPECT_TRUE(reclaimer->wanted_.empty());
}

// What another thread would do in the middle of a call: one looks what is wanted there.
class ReclaimLookTest : public ReclaimAimTest {
  protected:
    struct Listener final : WaitingListener {
        void on_waiting_changed() noexcept override {}
        void on_first_changed() noexcept override { look(); }
        void on_mark_passed() noexcept override { look(); }
        void look() {
            if (const auto call = std::exchange(on_look, nullptr)) call();
        }
        std::function<void()> on_look;
    };
    ReclaimLookTest() {
        coordinator =
            std::make_shared<ReclaimCoordinator>(process, io.get_executor(), detail::ManagerClock::of(time).set_alarm,
                                                 ReclaimCoordinator::Means{.clock = [this] { return time.now(); },
                                                                           .excess = [] { return Bytes{0}; },
                                                                           .look_soon = [] {},
                                                                           .rest = 250ms,
                                                                           .timeout = 30s});
        registered = coordinator->add(io.get_executor(), process, cache_of(process, 5, 5));
    }

    const std::shared_ptr<Listener> listener = std::make_shared<Listener>();
    const MemoryAccount process{"process", 100 * mebibyte, listener};
    std::shared_ptr<ReclaimCoordinator> coordinator;
    std::shared_ptr<void> registered;
};

TEST_F(ReclaimLookTest, OneWhoWaitsAndHasAllTheRoomThatItWantsIsNoReasonToRest) {
    auto held = *process.try_reserve(90 * mebibyte);
    wait(process, 10);
    process.set_marks(95 * mebibyte, unlimited_units);
    std::optional<bool> has_waited;
    listener->on_look = [&] {
        has_waited = process.anyone_waits();
        coordinator->look();
    };

    held.shrink(5 * mebibyte);
    run();

    EXPECT_EQ(has_waited, true);
    EXPECT_EQ(granted.size(), 1u);
    EXPECT_TRUE(coordinator->is_of_use(time.now())) << "somebody may be asked";
    EXPECT_EQ(coordinator->stats().asked, 0u);
}

TEST_F(ReclaimLookTest, OneWhoWantsMoreThanTheLimitAndWillBeRefusedIsAskedForByNobody) {
    const auto held = process.try_reserve(40 * mebibyte);
    wait(process, 60);
    wait(process, 70);
    std::optional<std::size_t> waiting;
    listener->on_look = [&] {
        waiting = process.waiting();
        coordinator->look();
    };

    process.set_limit(50 * mebibyte);
    run();

    EXPECT_EQ(waiting, 1u) << "the other is refused already";
    EXPECT_EQ(coordinator->stats().asked, 0u);
    EXPECT_FALSE(process.anyone_waits());
}

} // namespace
} // namespace velostream
