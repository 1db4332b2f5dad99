// SPDX-License-Identifier: Apache-2.0
// The permits of a bulkhead and the line for them in every order of their steps, and mutants that must be noticed.
#include "velostream/core/bulkhead_control.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "interleaving/core/exploration_failure.hpp"
#include "interleaving/core/torn_swap.hpp"
#include "velostream/testing/interleaving_explorer.hpp"

namespace velostream {
namespace {

using testing::explore;
using testing::failure_of;
using testing::ForgottenAnswers;
using testing::Interleaving;
using testing::is_noticed;
using testing::MemoryModel;
using testing::ScheduledAtomic;
using testing::TornSwap;

// Mutants: atomics that do less than the permits need.
constexpr auto line_bit = std::uint64_t{1} << 63;
template <class T>
struct LateAnnouncement : ScheduledAtomic<T> { // finds no room, and announces the line in a second step
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        const bool announces = (desired & line_bit) != 0 && (expected & line_bit) == 0;
        if (!announces) return ScheduledAtomic<T>::compare_exchange_strong(expected, desired, success, failure);
        this->fetch_or(line_bit);
        return true;
    }
};
template <class T>
struct SilentGiver : ScheduledAtomic<T> { // gives back in two steps: the line that it saw is not the one at that moment
    using ScheduledAtomic<T>::ScheduledAtomic;
    T fetch_sub(T operand, std::memory_order order) {
        const auto seen = this->load();
        ScheduledAtomic<T>::fetch_sub(operand, order);
        return seen;
    }
};
template <class T>
struct UnpublishedReturn : ScheduledAtomic<T> { // no release
    using ScheduledAtomic<T>::ScheduledAtomic;
    T fetch_sub(T operand, std::memory_order) {
        return ScheduledAtomic<T>::fetch_sub(operand, std::memory_order_relaxed);
    }
};
template <class T>
struct CarelessTake : ScheduledAtomic<T> { // no acquire
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_weak(T& expected, T desired, std::memory_order, std::memory_order) {
        return ScheduledAtomic<T>::compare_exchange_strong(expected, desired, std::memory_order_relaxed,
                                                           std::memory_order_relaxed);
    }
};

// A mutex of the explored world. One that is no mutex lets everybody in.
class Lock {
  public:
    Lock(ScheduledAtomic<int>& taken, bool works) : taken_(taken), works_(works) {
        ForgottenAnswers rounds;
        for (bool has_it = !works_; !has_it;) {
            rounds.returns(0); // each is like the first
            int free = 0;
            has_it = taken_.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed);
        }
        rounds.returns(1);
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() {
        if (works_) taken_.store(0, std::memory_order_release);
    }

  private:
    ScheduledAtomic<int>& taken_;
    bool works_;
};

enum class Does {
    take_and_give_back, // waits in the line where there is no room
    try_and_give_back,  // does not wait
    wait_and_give_up,   // waits, and leaves the line again if it has not had its turn
    raise_limit,
    lower_limit,
};

// What the owner of the permits does, as the bulkhead does it: see bulkhead_line.hpp.
template <template <class> class Atomic>
struct World {
    World(std::uint32_t limit, std::size_t callers, bool lock_works_) : control(limit), lock_works(lock_works_) {
        while (in_line.size() < callers) in_line.emplace_back(std::make_unique<ScheduledAtomic<int>>(0));
    }

    BulkheadControl<Atomic> control;
    const bool lock_works;
    ScheduledAtomic<int> lock{0};
    // Guarded by the lock: the line, 0 for nobody; a place that was left is closed up.
    std::vector<std::unique_ptr<ScheduledAtomic<int>>> in_line;
    // Counted by the callers themselves.
    int out = 0;
    std::array<int, 8> turns{};
    std::array<bool, 8> has_left{};

    int first() { return in_line[0]->load(std::memory_order_relaxed); }
    void push(int who) {
        for (auto& place : in_line)
            if (place->load(std::memory_order_relaxed) == 0) return place->store(who, std::memory_order_relaxed);
    }
    bool remove(int who) {
        bool found = false;
        for (std::size_t at = 0; at < in_line.size(); ++at) {
            found = found || in_line[at]->load(std::memory_order_relaxed) == who;
            if (!found) continue;
            const auto next = at + 1 < in_line.size() ? in_line[at + 1]->load(std::memory_order_relaxed) : 0;
            in_line[at]->store(next, std::memory_order_relaxed);
        }
        return found;
    }
};

// Those whose turn has come. In place: a thread may be left in the middle.
struct Served {
    std::array<int, 8> who{};
    std::size_t count = 0;
    void add(int next) { who[count++] = next; }
};

template <template <class> class Atomic>
class Caller {
  public:
    Caller(World<Atomic>& world, Interleaving& run, int who) : world_(world), run_(run), who_(who) {}

    void take_and_give_back() {
        if (world_.control.try_take() || wait()) has_turn(who_);
    }
    void try_and_give_back() {
        if (world_.control.try_take()) has_turn(who_);
    }
    void wait_and_give_up() {
        if (world_.control.try_take() || wait()) return has_turn(who_);
        const Lock lock{world_.lock, world_.lock_works};
        if (!world_.remove(who_)) return; // its turn came first
        world_.has_left[static_cast<std::size_t>(who_)] = true;
        run_.event(100);
        if (world_.first() == 0) world_.control.locked_end_line();
    }
    void set_limit(std::uint32_t limit) {
        Served served;
        {
            const Lock lock{world_.lock, world_.lock_works};
            world_.control.locked_set_limit(limit);
            serve(served);
        }
        go_on(served);
    }

  private:
    bool wait() {
        Served served;
        bool takes = false;
        {
            const Lock lock{world_.lock, world_.lock_works};
            serve(served);
            takes = world_.control.locked_take_or_join();
            if (!takes) world_.push(who_);
        }
        go_on(served);
        return takes;
    }
    void serve(Served& served) {
        while (const int next = world_.first()) {
            if (!world_.control.locked_take_for_first()) return;
            world_.remove(next);
            served.add(next);
            if (world_.first() == 0) world_.control.locked_end_line();
        }
    }
    void go_on(const Served& served) {
        for (std::size_t at = 0; at < served.count; ++at) has_turn(served.who[at]);
    }
    // What the caller `who` does with its permit, by whichever thread handed it over.
    void has_turn(int who) {
        ++world_.out;
        ++world_.turns[static_cast<std::size_t>(who)];
        run_.event(static_cast<std::uint64_t>(who));
        --world_.out;
        run_.event(10 + static_cast<std::uint64_t>(who));
        if (!world_.control.give_back()) return;
        Served served;
        {
            const Lock lock{world_.lock, world_.lock_works};
            serve(served);
        }
        go_on(served);
    }

    World<Atomic>& world_;
    Interleaving& run_;
    const int who_;
};

template <template <class> class Atomic>
std::string broken(std::uint32_t limit, const std::vector<Does>& callers, MemoryModel memory = MemoryModel::sequential,
                   bool lock_works = true) {
    const auto report = explore(
        [&](Interleaving& run) {
            auto world = std::make_shared<World<Atomic>>(limit, callers.size(), lock_works);
            run.begin([world] {
                world->out = 0;
                world->turns = {};
                world->has_left = {};
            });
            for (std::size_t at = 0; at < callers.size(); ++at) {
                const auto does = callers[at];
                run.thread([=, &run] {
                    Caller<Atomic> caller{*world, run, static_cast<int>(at) + 1};
                    switch (does) {
                        case Does::take_and_give_back:
                            return caller.take_and_give_back();
                        case Does::try_and_give_back:
                            return caller.try_and_give_back();
                        case Does::wait_and_give_up:
                            return caller.wait_and_give_up();
                        case Does::raise_limit:
                            return caller.set_limit(limit + 1);
                        case Does::lower_limit:
                            return caller.set_limit(limit - 1);
                    }
                });
            }
            run.always([=, &run] {
                if (world->control.in_use() < static_cast<std::uint32_t>(world->out))
                    run.fail("more calls run than permits are out");
                if (world->control.in_use() > limit + 1) run.fail("more permits are out than there ever were");
            });
            run.finally([=, &run] {
                if (world->control.in_use() != 0) return run.fail("a permit is lost");
                for (std::size_t at = 0; at < callers.size(); ++at) {
                    const auto turns = world->turns[at + 1];
                    const bool has_left = world->has_left[at + 1];
                    const bool waits =
                        callers[at] == Does::take_and_give_back || (callers[at] == Does::wait_and_give_up && !has_left);
                    if (turns > 1 || (turns == 1 && has_left)) return run.fail("a permit was handed over twice");
                    if (waits && turns == 0) return run.fail("a wake-up is lost");
                }
            });
        },
        {.memory = memory});
    return failure_of(report);
}

using enum Does;

TEST(BulkheadControlInEveryOrder, EveryWaiterHasItsTurnAndNoPermitIsLost) {
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak})
        for (const auto& callers :
             {std::vector{take_and_give_back, take_and_give_back}, std::vector{take_and_give_back, wait_and_give_up},
              std::vector{take_and_give_back, try_and_give_back}})
            EXPECT_EQ(broken<ScheduledAtomic>(1, callers, memory), "");
    for (const auto& callers : {std::vector{take_and_give_back, take_and_give_back, take_and_give_back},
                                std::vector{take_and_give_back, take_and_give_back, wait_and_give_up},
                                std::vector{take_and_give_back, wait_and_give_up, try_and_give_back},
                                std::vector{take_and_give_back, take_and_give_back, raise_limit}}) {
        EXPECT_EQ(broken<ScheduledAtomic>(1, callers), "");
        EXPECT_EQ(broken<ScheduledAtomic>(2, callers), "");
    }
    EXPECT_EQ(broken<ScheduledAtomic>(2, {take_and_give_back, take_and_give_back, lower_limit}), "");
}

TEST(BulkheadControlInEveryOrder, ALineThatIsAnnouncedLateIsNoticed) {
    EXPECT_EQ(broken<LateAnnouncement>(1, {take_and_give_back, take_and_give_back}), "a wake-up is lost");
}

TEST(BulkheadControlInEveryOrder, AGiverThatOverlooksTheLineIsNoticed) {
    EXPECT_EQ(broken<SilentGiver>(1, {take_and_give_back, take_and_give_back}), "a wake-up is lost");
}

TEST(BulkheadControlInEveryOrder, ASwapInTwoStepsIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<TornSwap>(1, {take_and_give_back, take_and_give_back})));
}

TEST(BulkheadControlInEveryOrder, ALineThatIsServedWithoutTheLockIsNoticed) {
    const std::vector three{take_and_give_back, take_and_give_back, take_and_give_back};
    EXPECT_TRUE(is_noticed(broken<ScheduledAtomic>(1, three, MemoryModel::sequential, false)));
}

// Who takes a permit sees what those did who gave permits back.
template <template <class> class Atomic>
std::string unpublished() {
    const auto report = explore(
        [&](Interleaving& run) {
            auto control = std::make_shared<BulkheadControl<Atomic>>(1U);
            auto done = std::make_shared<ScheduledAtomic<int>>(0);
            run.thread([=] {
                if (!control->try_take()) return;
                done->store(1, std::memory_order_relaxed);
                done->store(2, std::memory_order_relaxed);
                control->give_back();
            });
            run.thread([=, &run] {
                if (!control->try_take()) return;
                if (done->load(std::memory_order_relaxed) == 1) run.fail("half of what was done under the permit");
                control->give_back();
            });
        },
        {.memory = MemoryModel::weak});
    return failure_of(report);
}

TEST(BulkheadControlInEveryOrder, WhoTakesAPermitSeesWhatWasDoneUnderItBefore) {
    EXPECT_EQ(unpublished<ScheduledAtomic>(), "");
    EXPECT_TRUE(is_noticed(unpublished<UnpublishedReturn>()));
    EXPECT_TRUE(is_noticed(unpublished<CarelessTake>()));
}

} // namespace
} // namespace velostream
