// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "interleaving/core/budget_world.hpp"

namespace velostream {

/// What a few threads do to a budget tree at the same time, for any `Mutation` of it.
template <class Mutation>
class BudgetScenarios {
  public:
    using World = BudgetWorld<Mutation>;
    using Run = testing::Interleaving;
    using Memory = testing::MemoryModel;

    static constexpr std::uint64_t roomy = 65536; // enough that shards open

    /// Three levels, two of them with a limit; together the takers want more than the middle one has.
    static auto two_takers_of_more_than_half() {
        return explore(Memory::sequential, 200, [](Run& run, World& world) {
            auto& query = world.child(world.root(), 100);
            auto& left = world.child(query);
            run.thread([&] { world.take(left, 60); });
            run.thread([&] { world.take(query, 60); });
        });
    }
    static auto two_takers_who_both_fit() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& query = world.child(world.root());
            run.thread([&] { world.take(query, 30); });
            run.thread([&] { world.take(query, 40); });
        });
    }
    // The larger take fails at the root. Until then it must not stand in the way of the smaller one.
    static auto a_refused_take_beside_one_that_fits() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& query = world.child(world.root(), 50);
            world.take(world.root(), 90);
            run.thread([&] { world.take(query, 45); });
            run.thread([&] { world.take(query, 10); });
        });
    }
    static auto a_full_budget_handed_over() {
        return explore(Memory::weak, 100, [](Run& run, World& world) {
            auto& giver = world.child(world.root());
            auto& taker = world.child(world.root());
            world.take_and_look(giver, 100);
            run.thread([&] { world.clean_and_give(giver, 100); });
            run.thread([&] { world.take_and_look(taker, 100); });
        });
    }
    static auto a_full_budget_handed_back_and_forth() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& left = world.child(world.root());
            auto& right = world.child(world.root());
            world.take(left, 100);
            run.thread([&] {
                world.give(left, 100);
                world.take(left, 100);
            });
            run.thread([&] {
                if (world.take(right, 100)) world.give(right, 100);
            });
        });
    }
    static auto two_threads_at_the_credit_of_one_shard() {
        return explore(Memory::weak, roomy, [](Run& run, World& world) {
            world.park(world.root(), 4096);
            for (int thread = 0; thread < 2; ++thread) {
                run.thread([&] {
                    if (world.take(world.root(), 2000)) world.give(world.root(), 2000);
                });
            }
        });
    }
    /// All the credit there is passes from one thread of a shard to the other.
    static auto credit_handed_over_in_a_shard() {
        return explore(Memory::weak, roomy, [](Run& run, World& world) {
            world.park(world.root(), 4096);
            world.take_and_look(world.root(), 4096);
            run.thread([&] { world.clean_and_give(world.root(), 4096); });
            run.thread([&] {
                const bool seen = world.root().shard(0).holds(4096);
                if (seen) world.take_and_look(world.root(), 4096);
            });
        });
    }
    static auto three_at_one_shard() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            world.park(world.root(), 4096);
            for (int thread = 0; thread < 3; ++thread) {
                run.thread([&] {
                    if (world.take(world.root(), 1000)) world.give(world.root(), 1000);
                });
            }
        });
    }
    /// Together they fit, whatever the first one's shard is given for later.
    static auto a_shard_that_opens_while_another_needs_almost_all() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            auto& opener = world.child(world.root());
            world.will_park(opener, 4096);
            run.thread([&] { world.take(opener, 100); });
            run.thread([&] { world.take(world.root(), roomy - 200); });
        });
    }
    /// The decider has come and gone before the shard opens: its credit must still be found later.
    static auto a_shard_that_opens_after_a_refusal() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            auto& opener = world.child(world.root());
            world.take(world.root(), roomy / 2);
            world.will_park(opener, 4096);
            run.thread([&] { world.take(opener, 100); });
            run.thread([&] { world.take(world.root(), roomy / 2 + 1); });
        });
    }
    /// Together they fit. For trees in which `take_together` is refused only at the second look: see the mutants.
    static auto one_who_decides_while_a_shard_opens(Memory memory = Memory::weak) {
        return explore(
            memory, roomy,
            [](Run& run, World& world) {
                world.will_park(world.root(), 4096);
                run.thread([&] { world.take(world.root(), 100); });
                run.thread([&] { world.take_together({.node = &world.root(), .units = roomy - 200}); });
            },
            3);
    }
    static auto an_open_shard_in_use_while_another_needs_almost_all() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            auto& owner = world.child(world.root());
            world.park(owner, 4096);
            run.thread([&] { world.take(owner, 100); });
            run.thread([&] { world.take(world.root(), roomy - 200); });
        });
    }
    static auto a_return_to_a_shard_that_closes() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            world.park(world.root(), 4096);
            world.take(world.root(), 100);
            run.thread([&] { world.give(world.root(), 100); });
            run.thread([&] { world.take(world.root(), roomy); });
        });
    }
    static auto a_full_shard_that_returns_part_of_its_credit() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            world.will_park(world.root(), 4096);
            for (int count = 0; count < 3; ++count) world.take(world.root(), 4000);
            for (int count = 0; count < 2; ++count) world.give(world.root(), 4000);
            run.thread([&] { world.give(world.root(), 4000); });
            run.thread([&] { world.set_limit(world.root(), 100); });
            run.finally([&] { world.root().limit.store(roomy); });
        });
    }
    static auto two_threads_that_refill_one_shard() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            world.will_park(world.root(), 4096);
            for (int thread = 0; thread < 2; ++thread) run.thread([&] { world.take(world.root(), 100); });
        });
    }
    static auto two_who_each_need_the_others_credit() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            auto& left = world.child(world.root());
            auto& right = world.child(world.root());
            world.park(left, 4096);
            world.park(right, 4096);
            run.thread([&] { world.take(left, roomy / 2); });
            run.thread([&] { world.take(right, roomy / 2); });
        });
    }
    /// Who finds the credit first must not hide it from the other one before it has come back.
    static auto two_who_need_the_credit_of_a_third() {
        return explore(
            Memory::sequential, roomy,
            [](Run& run, World& world) {
                auto& owner = world.child(world.root());
                world.park(owner, 4096);
                world.take(world.root(), roomy - 4096 - 50);
                for (int thread = 0; thread < 2; ++thread) run.thread([&] { world.take(world.root(), 100); });
            },
            3);
    }
    /// The credit below the query is in the way first; once it is collected, the root is.
    static auto a_refusal_that_moves_up_a_level() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            auto& query = world.child(world.root(), roomy / 2);
            world.park(query, 4096);
            world.take(world.root(), roomy / 2 + 1000);
            run.thread([&] { world.take(query, roomy / 2 - 100); });
            run.thread([&] { world.give(world.root(), roomy / 2 + 1000); });
        });
    }
    /// The second one finds the mark of the first, who may have got no further; what he opens must be found
    /// nevertheless.
    static auto two_who_open_a_shard_of_whom_one_needs_almost_all() {
        return explore(
            Memory::sequential, roomy,
            [](Run& run, World& world) {
                auto& opener = world.child(world.root());
                world.will_park(opener, 4096);
                run.thread([&] { world.take(opener, 100); });
                run.thread([&] {
                    world.take(opener, 100);
                    world.take(world.root(), roomy - 200);
                });
            },
            3);
    }
    /// Who lowers a limit collects what lies above it, also from a shard that is just being opened.
    static auto a_shard_that_opens_while_the_limit_falls() {
        return explore(Memory::weak, roomy, [](Run& run, World& world) {
            world.will_park(world.root(), 4096);
            run.thread([&] { world.take(world.root(), 100); });
            run.thread([&] { world.set_limit(world.root(), 100); });
            run.finally([&] {
                if (World::try_now(world.root(), 1)) run.fail("granted after the limit fell");
                world.root().limit.store(roomy);
            });
        });
    }
    static auto a_reader_of_what_is_used() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            auto& node = world.child(world.root());
            world.take(node, 500);
            world.park(node, 4096);
            run.thread([&] {
                if (world.take(node, 100)) world.give(node, 100);
            });
            run.thread([&] { world.check_used(world.root(), 500, 500 + 100 + 4096); });
        });
    }
    static auto a_reader_of_what_is_granted() {
        return explore(Memory::sequential, 1000, [](Run& run, World& world) {
            auto& node = world.child(world.root());
            world.take(node, 500);
            run.thread([&] {
                if (world.take(node, 100)) world.give(node, 100);
                if (world.take(node, 100)) world.give(node, 100);
            });
            run.thread([&] { world.check_granted(world.root(), 500, 700); });
        });
    }
    static auto a_reader_of_what_comes_back_above_and_below() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& query = world.child(world.root());
            auto& node = world.child(query);
            world.take(node, 30);
            run.thread([&] { world.give(node, 30); });
            run.thread([&] {
                world.check_above(world.root(), query);
                world.check_above(query, node);
            });
        });
    }
    /// Units pass from shard to shard, so that each of them often has the credit that it had before.
    static auto a_reader_of_what_two_shards_exchange() {
        return explore(Memory::sequential, roomy, [](Run& run, World& world) {
            auto& left = world.child(world.root());
            auto& right = world.child(world.root());
            world.park(left, 4096);
            world.park(right, 4096);
            world.take(right, 100);
            run.thread([&] {
                world.take(left, 100);
                world.give(right, 100);
                world.take(right, 100);
                world.give(left, 100);
                world.take(left, 100);
                world.give(right, 100);
            });
            run.thread([&] { world.check_used(world.root(), 100, 200 + 2 * 4096); });
        });
    }
    static auto two_who_give_and_one_who_takes() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& taker = world.child(world.root(), 80);
            world.take(world.root(), 40);
            world.take(taker, 50);
            run.thread([&] { world.give(world.root(), 40); });
            run.thread([&] { world.give(taker, 50); });
            run.thread([&] { world.take(taker, 60); });
        });
    }
    static auto two_who_fit_of_whom_one_takes_of_two_nodes() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& left = world.child(world.root(), 60);
            auto& right = world.child(world.root());
            run.thread([&] { world.take_together(of(left, 30, right, 30)); });
            run.thread([&] { world.take(left, 30); });
        });
    }
    /// The root has room for one of them; the left node for both.
    static auto two_of_whom_one_takes_of_two_nodes_and_one_fits() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& left = world.child(world.root(), 90);
            auto& right = world.child(world.root());
            run.thread([&] { world.take_together(of(left, 40, right, 20)); });
            run.thread([&] { world.take(left, 50); });
        });
    }
    /// The right node is full. Meanwhile the left one must not seem to be.
    static auto a_refused_take_of_two_nodes_beside_one_that_fits() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& left = world.child(world.root(), 50);
            auto& right = world.child(world.root(), 40);
            world.take(right, 40);
            run.thread([&] { world.take_together(of(left, 40, right, 1)); });
            run.thread([&] { world.take(left, 50); });
        });
    }
    /// Credit is in the way of both parts: who decides at the one must not let the other's shards open again.
    static auto one_who_takes_of_two_nodes_with_credit() {
        return explore(Memory::sequential, 4 * roomy, [](Run& run, World& world) {
            auto& left = world.child(world.root(), roomy);
            auto& right = world.child(world.root(), roomy);
            world.take(left, 100);
            world.park(left, 4096);
            world.park(right, 4096);
            run.thread([&] { world.take_together(of(left, roomy - 100, right, roomy - 100)); });
            run.thread([&] { world.give(left, 100); });
        });
    }
    static auto a_full_budget_that_changes_hands_below_it() {
        return explore(Memory::sequential, 100, [](Run& run, World& world) {
            auto& left = world.child(world.root());
            auto& right = world.child(world.root(), 100);
            world.take(left, 100);
            run.thread([&] {
                if (world.transfer(left, right, 100)) world.give(right, 100);
            });
            run.thread([&] { world.take(right, 40); });
        });
    }
    /// The right node has room for one of them only.
    static auto a_transfer_to_where_another_takes() {
        return explore(Memory::sequential, 200, [](Run& run, World& world) {
            auto& left = world.child(world.root());
            auto& right = world.child(world.root(), 60);
            world.take(left, 50);
            run.thread([&] { world.transfer(left, right, 50); });
            run.thread([&] { world.take(right, 20); });
        });
    }
    /// The left node has room for it when it has lost its own; the root has always.
    static auto a_transfer_from_where_another_takes() {
        return explore(Memory::sequential, 200, [](Run& run, World& world) {
            auto& left = world.child(world.root(), 60);
            auto& right = world.child(world.root());
            world.take(left, 50);
            run.thread([&] { world.transfer(left, right, 50); });
            run.thread([&] { world.take(left, 20); });
        });
    }

  private:
    using Node = typename World::Node;
    static typename World::Demand of(Node& node, std::uint64_t units, Node& other, std::uint64_t other_units) {
        return {.node = &node, .units = units, .extra_count = 1, .extra = {{{&other, other_units}}}};
    }

    static testing::ExplorationReport explore(Memory memory, std::uint64_t limit,
                                              const std::function<void(Run&, World&)>& threads,
                                              std::size_t most_switches = ~std::size_t{0}) {
        return explore_world<World>(memory, limit, threads, most_switches);
    }
};

} // namespace velostream
