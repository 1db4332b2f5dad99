// SPDX-License-Identifier: Apache-2.0
// Those who wait in a tree of limits come, go, leave and are granted on several threads, while their cards and places
// are used again by others, limits change, and accounts end for which somebody waits. Now and then all stand still, and
// what is found then is compared with what must be.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "velostream/core/budget_tree.hpp"

namespace velostream::memory_waiter_churn_test {
namespace {

/// As on the machine, with small pools and many lists.
struct ChurnAtomics {
    template <class T>
    using Atomic = std::atomic<T>;
    struct Scope {
        Scope() noexcept {}
        template <class... Values>
        void returns(Values...) const noexcept {}
    };
    static constexpr std::size_t line_heights = 3;
    static std::size_t line_height(std::uint32_t place) noexcept { return 1 + place % line_heights; }
    static constexpr std::size_t items_at_once = 1;
    static void*& innermost_serving() noexcept {
        thread_local void* innermost = nullptr;
        return innermost;
    }
    static std::size_t shard_count() noexcept { return 2; }
};

using Tree = BudgetTree<ChurnAtomics>;
using Node = Tree::Node;
using Demand = Tree::Demand;

void give(Node& node, std::uint64_t units) {
    auto& shard = node.shard(0);
    if (!shard.try_put(units)) Tree::give(shard, units);
}
void give(const Demand& demand) {
    for (std::size_t part = 0; part < demand.part_count(); ++part)
        give(*demand.part(part).node, demand.part(part).units);
}

std::atomic<std::uint32_t> alive{0}, most_alive{0};

void count_alive() {
    const auto now = ++alive;
    for (auto most = most_alive.load(); most < now && !most_alive.compare_exchange_weak(most, now);) continue;
}

/// A request that owns its nodes and writes down what becomes of it.
class Waiter final : public BudgetWaiter<ChurnAtomics> {
  public:
    static std::shared_ptr<Waiter> make(const Demand& demand, std::uint64_t ticket, bool gives_at_once) {
        count_alive(); // from before it has a card until after it has given that back
        return {new Waiter{demand, ticket, gives_at_once}, [](const Waiter* waiter) {
                    delete waiter;
                    --alive;
                }};
    }
    Waiter(const Demand& wanted, std::uint64_t its_ticket, bool gives)
        : BudgetWaiter(wanted, its_ticket), ticket(its_ticket), gives_at_once(gives) {
        for (std::size_t part = 1; part < demand.part_count(); ++part) demand.part(part).node->add_owner();
    }
    ~Waiter() override {
        for (std::size_t part = 1; part < demand.part_count(); ++part) Tree::drop_owner(demand.part(part).node);
    }
    void grant() noexcept {
        has_units = true; // first: who sees that it has ended gives them back
        ++granted;
        if (gives_at_once) give_back();
    }
    void give_back() noexcept {
        if (has_units.exchange(false)) give(demand);
    }
    bool is_over() const noexcept { return granted + refused + left != 0; }

    auto& lines() const noexcept { return demand.node->tree.waiters().lines(); }
    std::uint32_t card_index() const noexcept { return card_; }
    bool waits() const noexcept { return CardWord::is_waiting(lines().card(card_).word.load()); }
    std::size_t stands() const noexcept {
        std::size_t count = 0;
        lines().for_each_place(lines().card(card_), [&](auto, auto& place) {
            count += PlaceWord::is_standing(place.word.load()) ? 1U : 0U;
            return true;
        });
        return count;
    }
    bool stands_on_the_way_of(const Demand& other) const noexcept {
        bool is_there = false;
        other.for_each_level([&](Node& level, std::uint64_t) {
            lines().for_each_place(lines().card(card_), [&](auto, auto& place) {
                is_there = is_there || (place.node.load() == &level && lines().is_waiting(place));
                return true;
            });
            return !is_there;
        });
        return is_there;
    }

    const std::uint64_t ticket;
    const bool gives_at_once;
    std::atomic<bool> has_units{false};
    std::atomic<int> granted{0}, refused{0}, left{0};

  private:
    void on_granted() noexcept override { grant(); }
    void on_refused(const Outcome& outcome) noexcept override {
        EXPECT_TRUE(outcome.can_never_be());
        ++refused;
    }
};

class Churn {
  public:
    static constexpr std::uint64_t root_most = 100, child_most = 70;

    Churn() {
        for (auto& child : children_) child = &Tree::make_child(root_, "child", child_most);
        for (auto& child : grandchildren_) child = &Tree::make_child(*children_[0], "grandchild", child_most);
    }
    ~Churn() {
        for (auto* child : grandchildren_) Tree::drop_owner(child);
        for (auto* child : children_) Tree::drop_owner(child);
        Tree::drop_owner(&root_);
    }
    Churn(const Churn&) = delete;
    Churn& operator=(const Churn&) = delete;

    void work(std::minstd_rand& random, int steps) {
        for (int step = 0; step < steps; ++step) {
            auto& slot = slots_[random() % slots_.size()];
            switch (random() % 16) {
                case 0:
                    change_limit(random);
                    break;
                case 1: {
                    auto& node = stable(random);
                    node.overtakers.store(random() % 3);
                    node.overtaking_units.store(random() % 40);
                    break;
                }
                case 2:
                    take_and_give(random);
                    break;
                case 3: // two may leave at once
                    if (const auto waiter = slot.look()) leave(waiter);
                    break;
                default: {
                    auto waiter = slot.exchange(nullptr);
                    if (waiter)
                        end(random, std::move(waiter));
                    else if (auto other = slot.exchange(ask(random)))
                        end(random, std::move(other));
                }
            }
        }
    }

    /// While all stand still.
    void check() {
        std::vector<std::shared_ptr<Waiter>> all;
        for (auto& slot : slots_)
            if (auto waiter = slot.look()) all.push_back(std::move(waiter));
        EXPECT_LE(root_.granted(), root_most);
        for (const auto* node : children_) EXPECT_LE(node->granted(), child_most);
        std::size_t waiting = 0;
        for (const auto& waiter : all) {
            EXPECT_LE(waiter->granted + waiter->refused + waiter->left, 1);
            EXPECT_NE(waiter->is_over(), waiter->waits()) << "told once when it has ended, and not before";
            if (!waiter->waits()) continue;
            ++waiting;
            EXPECT_GE(waiter->stands(), 1u);
            EXPECT_TRUE(Tree::impossible(waiter->demand).granted()) << "waits for what can never be";
            if (!has_room(waiter->demand)) continue;
            EXPECT_TRUE(std::ranges::any_of(all, [&](const auto& other) {
                return other->waits() && other->ticket < waiter->ticket && other->stands_on_the_way_of(waiter->demand);
            })) << "a wake-up was lost";
        }
        EXPECT_EQ(root_.tree.waiters().any(), waiting != 0);
        root_.tree.registry().for_each_place([&](Node& node) { check_lines(node); });
    }
    /// Everything comes back, and everybody comes to an end.
    void end_all() {
        root_.tree.set_limit(root_, root_most);
        for (int round = 0; round < 1000; ++round)
            for (auto& slot : slots_)
                if (const auto waiter = slot.look()) waiter->give_back();
        for (auto& slot : slots_) {
            const auto waiter = slot.exchange(nullptr);
            if (!waiter) continue;
            EXPECT_TRUE(waiter->is_over()) << "a wake-up was lost";
            waiter->give_back();
            EXPECT_EQ(waiter->granted + waiter->refused + waiter->left, 1);
        }
        check();
        EXPECT_EQ(Tree::used(root_), 0u);
        EXPECT_EQ(root_.owner_count(), 1 + children_.size()) << "an account did not end";
        const Demand everything{.node = &root_, .units = root_most};
        ASSERT_TRUE(Tree::take(everything).granted());
        give(everything);
        EXPECT_LE(Waiter::make(everything, next_ticket_++, false)->card_index(), most_alive) << "a card was lost";
    }

  private:
    class Slot {
      public:
        std::shared_ptr<Waiter> look() {
            const std::scoped_lock lock{mutex_};
            return waiter_;
        }
        /// What was there, which may be what somebody else has just put there.
        std::shared_ptr<Waiter> exchange(std::shared_ptr<Waiter> waiter) {
            const std::scoped_lock lock{mutex_};
            return std::exchange(waiter_, std::move(waiter));
        }

      private:
        std::mutex mutex_;
        std::shared_ptr<Waiter> waiter_;
    };

    static bool has_room(const Demand& demand) {
        bool has = true;
        demand.for_each_level([&](Node& level, std::uint64_t units) {
            return has = has && Tree::used(level) + units <= level.limit.load();
        });
        return has;
    }
    Node& stable(std::minstd_rand& random) {
        const auto choice = random() % 5;
        if (choice < 2) return *children_[choice];
        return choice < 4 ? *grandchildren_[choice - 2] : root_;
    }
    void change_limit(std::minstd_rand& random) {
        auto& node = stable(random);
        Tree::set_limit(node, &node == &root_ ? root_most - random() % 50 : child_most - random() % 50);
    }
    void take_and_give(std::minstd_rand& random) {
        auto& node = stable(random);
        const auto units = 1 + random() % 20;
        if (Tree::take(node, node.shard(random() % 2), units).granted()) give(node, units);
    }
    std::shared_ptr<Waiter> ask(std::minstd_rand& random) {
        std::vector<Node*> own; // accounts that have no other handle
        const auto choose = [&]() -> Node& {
            auto& node = stable(random);
            if (random() % 3 != 0) return node;
            return *own.emplace_back(&Tree::make_child(node, "own", 20 + random() % 40));
        };
        Demand demand{.node = &choose(), .units = 1 + random() % 25};
        while (demand.extra_count < 3 && random() % 2 == 0) {
            demand.extra[demand.extra_count].node = random() % 4 == 0 ? demand.node : &choose();
            demand.extra[demand.extra_count++].units = 1 + random() % 15;
        }
        const auto waiter = Waiter::make(demand, next_ticket_++, random() % 4 == 0);
        auto& waiters = root_.tree.waiters();
        const auto outcome = Tree::take(demand);
        if (outcome.granted() || outcome.can_never_be()) {
            EXPECT_TRUE(waiters.leave(*waiter));
            if (outcome.granted())
                waiter->grant();
            else
                ++waiter->refused;
        } else {
            waiters.add(waiter, const_cast<Node&>(*outcome.refused_by));
        }
        for (auto* node : own) Tree::drop_owner(node);
        return waiter;
    }
    void end(std::minstd_rand& random, std::shared_ptr<Waiter> waiter) {
        if (waiter->is_over() || random() % 4 == 0) {
            leave(waiter);
            waiter->give_back();
            EXPECT_EQ(waiter->granted + waiter->refused + waiter->left, 1);
            return;
        }
        auto& slot = slots_[random() % slots_.size()];
        if (auto other = slot.exchange(std::move(waiter))) end(random, std::move(other));
    }
    void leave(const std::shared_ptr<Waiter>& waiter) {
        if (root_.tree.waiters().leave(*waiter)) {
            ++waiter->left;
            return;
        }
        while (!waiter->is_over()) std::this_thread::yield(); // another thread is just telling it, or makes it leave
    }
    void check_lines(Node& node) {
        const auto& lines = root_.tree.waiters().lines();
        std::size_t standing = 0;
        for (std::size_t list = 0; list < node.line.size(); ++list) {
            std::uint64_t ticket = 0;
            for (auto index = IndexWord::index_of(node.line[list].load()); index != 0;) {
                const auto& place = lines.place(index);
                ASSERT_EQ(place.node.load(), &node);
                ASSERT_GT(place.ticket.load(), ticket);
                ASSERT_LT(list, ChurnAtomics::line_height(index));
                EXPECT_TRUE(lines.is_waiting(place));
                EXPECT_NE(place.units.load(), 0u);
                ticket = place.ticket.load();
                standing += list == 0 ? 1 : 0;
                index = IndexWord::index_of(place.next[list].load());
            }
        }
        EXPECT_EQ(node.waiting_now(), standing);
        EXPECT_EQ(Node::count_of(node.deciders.load() & ~Node::retired), 0u);
    }

    Node& root_ = Tree::make("root", root_most);
    std::array<Node*, 2> children_{}, grandchildren_{};
    std::array<Slot, 16> slots_;
    std::atomic<std::uint64_t> next_ticket_{1};
};

/// How many trees; more where somebody looks for faults by hand.
int tree_count() {
    const auto* const wanted = std::getenv("VELOSTREAM_CHURN_TREES");
    return wanted == nullptr ? 20 : std::atoi(wanted);
}

TEST(MemoryWaiterChurn, LosesNobodyAndNothing) {
    constexpr int threads = 4, rounds = 20, steps = 100;
    for (int tree = 0; tree < tree_count() && !::testing::Test::HasFailure(); ++tree) {
        Churn churn;
        std::barrier all_stand{threads, [&]() noexcept { churn.check(); }};
        {
            std::vector<std::jthread> working;
            for (int thread = 0; thread < threads; ++thread) {
                working.emplace_back([&, seed = static_cast<unsigned>(tree * threads + thread + 1)] {
                    std::minstd_rand random{seed};
                    for (int round = 0; round < rounds; ++round) {
                        churn.work(random, steps);
                        all_stand.arrive_and_wait();
                    }
                });
            }
        }
        churn.end_all();
    }
}

} // namespace
} // namespace velostream::memory_waiter_churn_test
