// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>

#include "interleaving/core/budget_waiting_world.hpp"

namespace velostream {

/// What a few threads do in a tree in which some wait, for any `Mutation` of it.
template <class Mutation>
class BudgetWaitingScenarios {
  public:
    using World = BudgetWaitingWorld<Mutation>;
    using Run = testing::Interleaving;
    using Memory = testing::MemoryModel;
    /// How often threads are left standing that could go on: in all schedules some of these would take hours.
    static constexpr std::size_t most_switches = 6, weak_switches = 4, fewer_switches = 3;

    static auto one_who_waits_for_what_another_gives_back(Memory memory = Memory::sequential) {
        return explore(
            memory, 100,
            [](Run& run, World& world) {
                world.hold(world.root(), 100);
                world.will_want(world.root(), 60);
                run.thread([&] { world.give(world.root(), 100); });
                run.thread([&] { world.wait(0); });
            },
            memory == Memory::weak ? weak_switches : most_switches);
    }
    /// Refused a moment ago; then a shard opened, with credit that he needs.
    static auto one_who_waits_for_what_went_into_a_shard() {
        return explore(Memory::sequential, 65536, [](Run& run, World& world) {
            auto& owner = world.child(world.root());
            world.hold(world.root(), 10);
            world.park(owner, 4096);
            world.will_want(world.root(), 65536);
            run.thread([&] { world.give(world.root(), 10); });
            run.thread([&] { world.wait_refused(0, world.root()); });
        });
    }
    /// Nobody waited yet when the other one began; what he gives back must not stay in his shard.
    static auto one_who_waits_while_a_shard_opens() {
        return explore(
            Memory::sequential, 65536,
            [](Run& run, World& world) {
                auto& owner = world.child(world.root());
                world.hold(world.root(), 60);
                world.will_park(owner, 4096);
                world.will_want(world.root(), 65536 - 50);
                run.thread([&] {
                    world.take_and_give(owner, 100);
                    world.give(world.root(), 60);
                });
                run.thread([&] { world.wait(0); });
            },
            fewer_switches);
    }
    static auto one_who_leaves_while_another_gives_back() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            world.hold(world.root(), 100);
            world.will_want(world.root(), 60);
            run.thread([&] { world.give(world.root(), 100); });
            run.thread([&] {
                world.wait(0);
                world.leave(0);
            });
        });
    }
    /// Who looks what is used helps with what is under way, and does nothing else.
    static auto one_who_leaves_while_another_looks() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            world.hold(world.root(), 100);
            world.will_want(world.root(), 60);
            run.thread([&] {
                world.wait(0);
                world.leave(0);
            });
            run.thread([&] { World::Tree::used(world.root()); });
            run.finally([&] { world.give(world.root(), 100); });
        });
    }
    /// The first wants more than there is; when he leaves, the second must be granted.
    static auto one_who_leaves_in_front_of_another() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                world.hold(world.root(), 50);
                world.will_want(world.root(), 60);
                world.will_want(world.root(), 40);
                run.thread([&] {
                    world.wait(0);
                    world.leave(0);
                });
                run.thread([&] { world.wait(1); });
                run.finally([&] {
                    world.expect_granted(1);
                    world.give(world.root(), 50);
                });
            },
            fewer_switches);
    }
    /// Waits for its query first, then perhaps for the process.
    static auto one_who_waits_at_two_levels() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                auto& query = world.full_child(50);
                world.hold(world.root(), 50);
                world.will_want(query, 40);
                run.thread([&] { world.give(query, 50); });
                run.thread([&] { world.give(world.root(), 50); });
                run.thread([&] { world.wait(0); });
            },
            fewer_switches);
    }
    static auto two_who_wait_for_what_another_gives_back() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                world.hold(world.root(), 100);
                world.will_want(world.root(), 60);
                world.will_want(world.root(), 40);
                run.thread([&] { world.give(world.root(), 100); });
                run.thread([&] {
                    world.wait(0);
                    world.wait(1);
                });
            },
            fewer_switches);
    }
    static auto one_who_waits_for_two_nodes() {
        return explore(
            Memory::sequential, 200,
            [](Run& run, World& world) {
                auto& left = world.full_child(50);
                auto& right = world.full_child(50);
                world.will_want({.node = &left, .units = 40, .extra_count = 1, .extra = {{{&right, 30}}}});
                run.thread([&] {
                    world.give(left, 50);
                    world.give(right, 50);
                });
                run.thread([&] { world.wait(0); });
            },
            fewer_switches);
    }
    /// As two parts of one demand may come to, whose sum is what counts.
    static auto one_who_names_a_node_twice() {
        return explore(
            Memory::sequential, 200,
            [](Run& run, World& world) {
                auto& query = world.full_child(50);
                world.will_want({.node = &query, .units = 20, .extra_count = 1, .extra = {{{&query, 25}}}});
                world.will_want(query, 5);
                run.thread([&] { world.give(query, 50); });
                run.thread([&] {
                    world.wait(0);
                    world.wait(1);
                });
            },
            fewer_switches);
    }
    /// In front of another, who has what he leaves.
    static auto one_who_keeps_his_places_at_two_nodes() {
        return explore(
            Memory::sequential, 200,
            [](Run& run, World& world) {
                auto& left = world.full_child(50);
                auto& right = world.full_child(50);
                world.will_want({.node = &left, .units = 40, .extra_count = 1, .extra = {{{&right, 30}}}});
                world.will_keep_places(0);
                world.will_want(left, 10);
                run.thread([&] { world.wait(0); });
                run.thread([&] { world.give(left, 50); });
                run.finally([&] {
                    world.wait(1);
                    world.give(right, 50);
                });
            },
            fewer_switches);
    }
    static auto one_who_leaves_two_nodes() {
        return explore(
            Memory::sequential, 200,
            [](Run& run, World& world) {
                auto& left = world.full_child(50);
                auto& right = world.full_child(50);
                world.will_want({.node = &left, .units = 40, .extra_count = 1, .extra = {{{&right, 30}}}});
                world.will_keep_places(0);
                run.thread([&] {
                    world.wait(0);
                    world.leave(0);
                });
                run.thread([&] { world.give(left, 50); });
                run.finally([&] { world.give(right, 50); });
            },
            fewer_switches);
    }
    /// He waits at the query; the process will never have that much.
    static auto one_who_waits_for_more_than_a_lowered_limit() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& query = world.full_child(90);
            world.will_want(query, 60);
            run.thread([&] { world.lower_limit(world.root(), 50); });
            run.thread([&] { world.wait(0); });
            run.finally([&] {
                if (query.waiting_now() != 0) run.fail("waits for what can never be");
                world.give(query, 90);
            });
        });
    }
    /// He is refused in between, or granted in the end.
    static auto one_who_waits_while_the_limit_falls_and_rises() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& query = world.full_child(90);
            world.will_want(query, 60);
            run.thread([&] {
                world.lower_limit(world.root(), 50);
                world.raise_limit(world.root(), 100);
            });
            run.thread([&] { world.wait(0); });
            run.finally([&] { world.give(query, 90); });
        });
    }
    /// Others may be draining when he leaves: his place in the queue is still there when he asks again.
    static auto one_who_asks_after_he_left() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                auto& query = world.full_child(50);
                auto& other = world.full_child(50);
                world.will_want(query, 10);
                world.will_want(other, 10);
                run.thread([&] {
                    world.wait_refused(0, query);
                    world.leave(0);
                    world.ask_where_nobody_waits(query);
                });
                run.thread([&] { world.wait_refused(1, other); });
                run.finally([&] {
                    world.give(query, 50);
                    world.give(other, 50);
                });
            },
            fewer_switches);
    }
    /// Another thread may be draining when he begins to wait, refused a moment ago where there is room now.
    static auto one_who_comes_later_and_does_not_wait() {
        return explore(
            Memory::sequential, 200,
            [](Run& run, World& world) {
                auto& query = world.child(world.root(), 100);
                auto& other = world.full_child(50);
                world.will_want(query, 60);
                world.will_want(other, 10);
                run.thread([&] {
                    world.wait_refused(0, query);
                    world.ask_after(0, 50);
                });
                run.thread([&] { world.wait_refused(1, other); });
                run.finally([&] { world.give(other, 50); });
            },
            fewer_switches);
    }
    /// One comes before the other leaves, so there is somebody all the time; what is asked for would fit.
    static auto one_who_asks_while_another_takes_the_place_of_the_first() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                world.hold(world.root(), 60);
                world.will_want(world.root(), 60);
                world.will_want(world.root(), 60);
                run.thread([&] {
                    world.wait(0);
                    world.ask_where_somebody_waits(world.root(), 10);
                });
                run.thread([&] {
                    world.wait(1);
                    world.leave(0);
                });
                run.finally([&] { world.give(world.root(), 60); });
            },
            fewer_switches);
    }
    static auto one_who_leaves_while_he_begins_to_wait() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& query = world.full_child(50);
            world.will_want(query, 10);
            run.thread([&] { world.wait_refused(0, query); });
            run.thread([&] {
                world.leave(0);
                world.ask_where_nobody_waits(query);
            });
            run.finally([&] { world.give(query, 50); });
        });
    }
    static auto one_who_may_overtake_waits_for_the_level_above() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                auto& query = world.child(world.root(), 50);
                world.hold(query, 40);
                world.hold(world.root(), 60);
                world.allow_overtaking(query, 1);
                world.will_want(query, 30);
                world.will_want(query, 5);
                run.thread([&] {
                    world.wait(0);
                    world.wait(1);
                });
                run.thread([&] { world.give(world.root(), 60); });
                run.finally([&] {
                    world.expect_overtaken(0, 1);
                    world.give(query, 40);
                });
            },
            fewer_switches);
    }
    /// He leaves the root for his query, and comes back when he is still linked there.
    static auto one_who_comes_back_to_where_he_was() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                auto& query = world.child(world.root(), 50);
                world.hold(query, 20);
                world.hold(world.root(), 30);
                world.will_want(query, 40);
                const auto has_taken = std::make_shared<bool>();
                run.thread([&world] { world.wait_refused(0, world.root()); });
                run.thread([&world, &query, has_taken] {
                    *has_taken = world.take(world.root(), 50);
                    World::Tree::transfer(query, world.root(), 20);
                });
                run.finally([&world, has_taken] {
                    world.give(world.root(), 50);
                    if (*has_taken) world.give(world.root(), 50);
                });
            },
            fewer_switches);
    }
    /// From a line that is looked through later to one that was looked through before.
    static auto one_who_moves_while_a_limit_falls() {
        return explore(
            Memory::sequential, 200,
            [](Run& run, World& world) {
                auto& left = world.full_child(50);
                auto& right = world.full_child(50);
                world.will_want({.node = &left, .units = 40, .extra_count = 1, .extra = {{{&right, 30}}}});
                run.thread([&] {
                    world.wait_refused(0, right);
                    world.give(right, 50);
                });
                run.thread([&] { world.lower_limit(world.root(), 60); });
                run.finally([&] {
                    if (left.waiting_now() + right.waiting_now() != 0) run.fail("waits for what can never be");
                    world.give(left, 50);
                });
            },
            fewer_switches);
    }
    static auto one_who_waits_for_what_another_transfers() {
        return explore(
            Memory::sequential, 100,
            [](Run& run, World& world) {
                auto& left = world.child(world.root(), 50);
                auto& right = world.child(world.root());
                world.hold(left, 50);
                world.will_want(left, 40);
                run.thread([&] { World::Tree::transfer(left, right, 50); });
                run.thread([&] { world.wait(0); });
                run.finally([&] { world.give(right, 50); });
            },
            fewer_switches);
    }

  private:
    static testing::ExplorationReport explore(Memory memory, std::uint64_t limit,
                                              const std::function<void(Run&, World&)>& threads,
                                              std::size_t switches = most_switches) {
        if (const auto* const more = std::getenv("VELOSTREAM_SWITCHES")) switches = std::stoul(more);
        return explore_world<World>(
            memory, limit,
            [&](Run& run, World& world) {
                run.stopped([&world](std::size_t) { world.stopped(); });
                threads(run, world);
            },
            switches);
    }
};

} // namespace velostream
