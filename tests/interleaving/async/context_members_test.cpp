// SPDX-License-Identifier: Apache-2.0
// Every schedule of a context that ends while some join it and leave it, each thread stopped for ever at any step.
#include "velostream/async/context_members.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "velostream/testing/interleaving_explorer.hpp"
#include "velostream/testing/scheduled_atomic.hpp"

namespace velostream {

template <class Mutation>
struct ExploredContextAtomics {
    template <class T>
    using Atomic = testing::ScheduledAtomic<T>;
    static constexpr std::size_t items_at_once = 2;
};

struct Member {
    bool wants_to_go = true;
    int left = 0, refused = 0, told = 0, dropped = 0;
};
template <class Mutation>
using ExploredMembers = ContextMembers<ExploredContextAtomics<Mutation>, Member>;

struct LooksBeforeItJoins {};
struct LeavesUnasked {};
struct JoinsUnordered {};
struct CountsThemTooEarly {};

template <>
auto ExploredMembers<LooksBeforeItJoins>::join(std::shared_ptr<Member> member) -> Index {
    if (has_ended_.load()) return 0;
    const auto index = places_.take();
    auto& place = places_[index];
    place.member = std::move(member);
    place.stand.store(Stand::joined);
    return index;
}

// Its own store is not yet seen when it looks whether the end has come.
template <>
auto ExploredMembers<JoinsUnordered>::join(std::shared_ptr<Member> member) -> Index {
    const auto index = places_.take();
    auto& place = places_[index];
    place.member = std::move(member);
    place.stand.store(Stand::joined, std::memory_order_release);
    if (!has_ended_.load(std::memory_order_acquire)) return index;
    return leave(index) ? 0 : index;
}

template <>
std::shared_ptr<Member> ExploredMembers<LeavesUnasked>::leave(Index index) noexcept {
    auto& place = places_[index];
    if (place.stand.load() != Stand::joined) return nullptr;
    place.stand.store(Stand::left);
    auto member = std::exchange(place.member, nullptr);
    places_.give_back(index);
    return member;
}

template <>
template <class Detach, class Drop>
void ExploredMembers<CountsThemTooEarly>::end(Detach detach, Drop) noexcept {
    const auto last = places_.last();
    has_ended_.store(true);
    for (Index index = 1; index <= last; ++index) {
        auto seen = Stand::joined;
        if (places_[index].stand.compare_exchange_strong(seen, Stand::ended)) detach(*places_[index].member);
    }
}

namespace {

struct Intact {};

/// Members that come and go, and what became of each.
template <class Mutation>
struct MembersWorld {
    // With places enough before anything is explored, or with none, so that they are made meanwhile.
    MembersWorld(testing::Interleaving& its_run, bool has_places) : run(its_run) {
        if (!has_places) return;
        for (auto& place : places) place = members.join(std::make_shared<Member>());
        for (const auto place : places) members.leave(place);
    }

    void begin() {
        for (auto& member : of) *member = Member{.wants_to_go = member->wants_to_go};
    }
    void join(std::size_t number) {
        places[number] = members.join(of[number]);
        if (places[number] == 0) ++of[number]->refused;
        run.event(number << 8 | (places[number] != 0));
    }
    void leave(std::size_t number) {
        if (places[number] == 0) return;
        if (const auto self = members.leave(places[number])) {
            if (self != of[number]) run.fail("another one left");
            ++of[number]->left;
        }
        run.event(number << 8 | 2);
    }
    void end() {
        members.end(
            [this](Member& member) {
                ++member.told;
                run.event(3);
                return member.wants_to_go;
            },
            [this](Member& member) {
                ++member.dropped;
                run.event(4);
            });
        has_ended = true;
    }
    void finally() {
        for (std::size_t number = 0; number < of.size(); ++number) {
            const auto& member = of[number];
            const bool came = places[number] != 0;
            if (has_ended && came && member->left + member->told == 0) run.fail("somebody stayed untold");
            if (member->left + member->refused + member->told > 1) run.fail("told, and something else");
            if (member->dropped != (member->wants_to_go ? member->told : 0)) run.fail("dropped for no reason");
        }
    }

    testing::Interleaving& run;
    ExploredMembers<Mutation> members;
    std::array<std::shared_ptr<Member>, 3> of{std::make_shared<Member>(), std::make_shared<Member>(),
                                              std::make_shared<Member>()};
    std::array<std::uint32_t, 3> places{};
    bool has_ended = false;
};

template <class Mutation, class Threads>
testing::ExplorationReport explore_members(Threads threads, bool has_places = true,
                                           testing::MemoryModel memory = testing::MemoryModel::sequential) {
    const auto scenario = [&](testing::Interleaving& run) {
        const auto world = std::make_shared<MembersWorld<Mutation>>(run, has_places);
        run.begin([world] {
            world->begin();
            world->places = {};
            world->has_ended = false;
        });
        threads(run, world);
        run.finally([world] { world->finally(); });
    };
    return testing::explore(scenario, {.memory = memory});
}

template <class Mutation>
testing::ExplorationReport two_who_come_and_go_while_it_ends(
    bool has_places = true, testing::MemoryModel memory = testing::MemoryModel::sequential) {
    const auto threads = [](testing::Interleaving& run, const auto& world) {
        run.thread([world] {
            world->join(0);
            world->leave(0);
        });
        run.thread([world] { world->join(1); });
        run.thread([world] { world->end(); });
    };
    return explore_members<Mutation>(threads, has_places, memory);
}

/// In a place that is made for him.
template <class Mutation>
testing::ExplorationReport one_who_comes_first_while_it_ends() {
    return explore_members<Mutation>(
        [](testing::Interleaving& run, const auto& world) {
            world->of[0]->wants_to_go = false; // there is nobody to drop
            run.thread([world] { world->join(0); });
            run.thread([world] { world->end(); });
        },
        false);
}

/// The place of the one is perhaps another's by now.
template <class Mutation>
testing::ExplorationReport one_who_takes_the_place_of_another_while_it_ends() {
    return explore_members<Mutation>([](testing::Interleaving& run, const auto& world) {
        world->of[1]->wants_to_go = false;
        run.thread([world] {
            world->join(0);
            world->leave(0);
            world->join(1);
            world->leave(1);
        });
        run.thread([world] { world->end(); });
    });
}

/// Whoever stops in the middle: the others come and go.
template <class Mutation>
testing::ExplorationReport one_who_stops(bool has_places = true) {
    const auto threads = [](testing::Interleaving& run, const auto& world) {
        run.thread([world] {
            world->join(0);
            world->leave(0);
        });
        run.thread([world] {
            world->join(1);
            world->leave(1);
        });
        run.stopped([world](std::size_t) {
            world->join(2);
            if (world->places[2] == 0) world->run.fail("refused by one who has stopped");
            world->leave(2);
            if (world->of[2]->left != 1) world->run.fail("held by one who has stopped");
        });
    };
    return explore_members<Mutation>(threads, has_places);
}

/// The context that ends stops in the middle: who joins is refused, who leaves has left or is told.
template <class Mutation>
testing::ExplorationReport an_end_that_stops() {
    return explore_members<Mutation>([](testing::Interleaving& run, const auto& world) {
        run.thread([world] { world->join(0); });
        run.thread([world] { world->end(); });
        run.stopped([world](std::size_t thread) {
            if (thread != 1) return;
            world->leave(0);
            world->join(2);
            world->leave(2);
            for (const auto number : {std::size_t{0}, std::size_t{2}}) {
                const auto& member = *world->of[number];
                if (world->places[number] != 0 && member.left + member.told != 1)
                    world->run.fail("held by an end that has stopped");
            }
        });
    });
}

void expect_passed(const testing::ExplorationReport& report) {
    EXPECT_TRUE(report.passed()) << report.failure << " after " << report.executions << " executions\n" << report.trace;
}
void expect_found(const testing::ExplorationReport& report, const char* fault) {
    EXPECT_EQ(report.failure, fault) << report.executions << " executions";
}

TEST(ContextMembersInterleavings, EachIsToldOrLeavesOrIsRefused) {
    expect_passed(two_who_come_and_go_while_it_ends<Intact>());
}
TEST(ContextMembersInterleavings, TheFirstOfAllIsToldOrIsRefused) {
    expect_passed(one_who_comes_first_while_it_ends<Intact>());
}
TEST(ContextMembersInterleavings, APlaceIsUsedAgain) {
    expect_passed(one_who_takes_the_place_of_another_while_it_ends<Intact>());
}
TEST(ContextMembersInterleavings, NobodyWaitsForOneWhoStops) {
    expect_passed(one_who_stops<Intact>());
}

TEST(ContextMembersInterleavings, PlacesAreMadeWhileItEnds) {
    expect_passed(two_who_come_and_go_while_it_ends<Intact>(false));
}
TEST(ContextMembersInterleavings, EachIsToldWhateverTheMemoryOrdersLeaveOpen) {
    expect_passed(two_who_come_and_go_while_it_ends<Intact>(true, testing::MemoryModel::weak));
    expect_passed(two_who_come_and_go_while_it_ends<Intact>(false, testing::MemoryModel::weak));
}
TEST(ContextMembersInterleavings, PlacesAreMadeWhileOneStops) {
    expect_passed(one_who_stops<Intact>(false));
}
TEST(ContextMembersInterleavings, NobodyWaitsForAnEndThatStops) {
    expect_passed(an_end_that_stops<Intact>());
}

TEST(ContextMembersMutants, WhoLooksBeforeHeJoinsIsFound) {
    expect_found(two_who_come_and_go_while_it_ends<LooksBeforeItJoins>(), "somebody stayed untold");
}
TEST(ContextMembersMutants, WhoJoinsWithoutOrderIsFound) {
    expect_found(two_who_come_and_go_while_it_ends<JoinsUnordered>(true, testing::MemoryModel::weak),
                 "somebody stayed untold");
}
TEST(ContextMembersMutants, WhoLeavesUnaskedIsFound) {
    expect_found(two_who_come_and_go_while_it_ends<LeavesUnasked>(), "told, and something else");
}

TEST(ContextMembersMutants, AnEndThatCountsThemTooEarlyIsFound) {
    expect_found(one_who_comes_first_while_it_ends<CountsThemTooEarly>(), "somebody stayed untold");
}

} // namespace
} // namespace velostream
