// SPDX-License-Identifier: Apache-2.0
// Every schedule of those who give back to a pool, borrow, wait and close, around the place where a connection lies
// ready; and the same with one thing wrong each.
#include "velostream/core/warm_place.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
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

// Mutants: words that do less than the place needs.
constexpr std::uintptr_t empty_word = 0, shut_word = 1;
template <class T>
struct UnpublishedPut : ScheduledAtomic<T> { // no release
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        const auto order = success == std::memory_order_release ? std::memory_order_relaxed : success;
        return ScheduledAtomic<T>::compare_exchange_strong(expected, desired, order, failure);
    }
};
template <class T>
struct CarelessTake : ScheduledAtomic<T> { // no acquire
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        const auto order = success == std::memory_order_acquire ? std::memory_order_relaxed : success;
        return ScheduledAtomic<T>::compare_exchange_strong(expected, desired, order, failure);
    }
};
template <class T>
struct CarelessShut : ScheduledAtomic<T> { // no acquire
    using ScheduledAtomic<T>::ScheduledAtomic;
    T exchange(T desired, std::memory_order) {
        return ScheduledAtomic<T>::exchange(desired, std::memory_order_relaxed);
    }
};
template <class T>
struct ShutInTwoSteps : ScheduledAtomic<T> {
    using ScheduledAtomic<T>::ScheduledAtomic;
    T exchange(T desired, std::memory_order) {
        const auto seen = this->load();
        this->store(desired);
        return seen;
    }
};
template <class T>
struct TakeThatOpens : ScheduledAtomic<T> { // empties the place whatever is there by now
    using ScheduledAtomic<T>::ScheduledAtomic;
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        if (desired != empty_word)
            return ScheduledAtomic<T>::compare_exchange_strong(expected, desired, success, failure);
        const auto seen = ScheduledAtomic<T>::exchange(desired, success);
        expected = seen;
        return seen > shut_word;
    }
};

template <template <class> class Word>
struct ExploredMemory {
    template <class T>
    using Atomic = Word<T>;
};

struct Connection {
    std::size_t number = 0;
    ScheduledAtomic<int> loans{0}; // written by each who has it
};

enum class Does {
    give_back,       // what it has from the beginning
    borrow,          // and keeps it
    borrow_and_give, // gives it back
    find_stale,      // lets the plan have what it finds in the place
    wait,            // joins the line where nothing is ready
    close,
};

// What a pool does around the place, as ConnectionPoolState does it, with a plan that knows who waits and what is idle.
template <template <class> class Word>
class World {
  public:
    World(Interleaving& run, std::size_t lent, std::size_t warm, bool shuts) : run_(run), shuts_(shuts) {
        for (std::size_t number = 0; number < lent + warm; ++number) connections_[number].number = number;
        count_ = lent + warm;
        lent_ = lent;
        place_.open();
        if (warm != 0) static_cast<void>(place_.put(connections_[lent]));
    }
    void begin() {
        known_ = {};
        known_.is_open = true;
        for (std::size_t number = 0; number < lent_; ++number) known_.hands[number] = 1;
    }

    void act(Does what, std::size_t mine) {
        switch (what) {
            case Does::give_back:
                use(connections_[mine]);
                return give_back(connections_[mine]);
            case Does::borrow:
                if (auto* const found = borrow()) use(*found);
                return;
            case Does::borrow_and_give:
                if (auto* const found = borrow()) {
                    use(*found);
                    give_back(*found);
                }
                return;
            case Does::find_stale:
                if (auto* const found = take()) with_lock([&] { return_to_plan(*found); });
                return;
            case Does::wait:
                if (auto* const found = wait()) use(*found);
                return;
            case Does::close:
                return with_lock([&] { known_.is_closed = true; });
        }
    }

    // At the end.
    void check() {
        if (auto* const warm = place_.shut()) {
            if (known_.hands[warm->number] != 0) run_.fail("what lies there is in somebody's hand");
            ++known_.hands[warm->number];
            if (known_.waits) run_.fail("somebody waits beside a warm connection");
            if (known_.is_closed) run_.fail("a connection outlives the pool");
        }
        if (known_.waits && known_.idle != 0) run_.fail("somebody waits beside an idle connection");
        for (std::size_t number = 0; number < count_; ++number)
            if (known_.hands[number] + static_cast<int>(known_.idle >> number & 1) != 1)
                run_.fail("a connection is lost, or is in two hands");
    }

  private:
    void tell(std::uint64_t what) {
        run_.event(what << 16 | std::uint64_t{known_.idle} << 8 | std::uint64_t{known_.waits} << 2 |
                   std::uint64_t{known_.is_closed} << 1 | std::uint64_t{known_.is_open});
    }
    void comes_to_hand(Connection& connection) {
        if (known_.hands[connection.number]++ != 0) run_.fail("a connection is in two hands");
        tell(1 + connection.number);
    }
    void leaves_hand(Connection& connection) {
        --known_.hands[connection.number];
        tell(10 + connection.number);
    }
    // Sees what the last one did with it.
    void use(Connection& connection) {
        const auto loans = connection.loans.load(std::memory_order_relaxed);
        if (loans != known_.loans[connection.number]) run_.fail("what was done with it before is not seen");
        ++known_.loans[connection.number];
        connection.loans.store(loans + 1, std::memory_order_relaxed);
    }

    void give_back(Connection& connection) {
        leaves_hand(connection); // its next step is the first at which anybody can have it
        if (place_.put(connection)) return;
        comes_to_hand(connection);
        with_lock([&] { return_to_plan(connection); });
    }
    Connection* take() {
        auto* const found = place_.take();
        if (!found) return nullptr;
        if (known_.waits) run_.fail("a newcomer overtakes somebody");
        comes_to_hand(*found);
        return found;
    }
    Connection* borrow() {
        if (auto* const warm = take()) return warm;
        return with_lock([&] { return known_.waits ? nullptr : take_idle(); });
    }
    Connection* wait() {
        return with_lock([&] {
            auto* const found = take_idle();
            if (!found && !known_.is_closed) known_.waits = true;
            return found;
        });
    }

    // An event: whoever waited is told of it.
    template <class Event>
    auto with_lock(Event event) {
        {
            ForgottenAnswers rounds;
            for (bool has_it = false; !has_it;) {
                rounds.returns(0); // each is like the first
                int free = 0;
                has_it = lock_.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed);
            }
            rounds.returns(1);
        }
        if (shuts_ && known_.is_open) {
            known_.is_open = false;
            if (auto* const warm = place_.shut()) {
                comes_to_hand(*warm);
                return_to_plan(*warm);
            }
        }
        struct End {
            World& world;
            ~End() {
                auto& known = world.known_;
                if (!known.is_open && !known.waits && !known.is_closed) {
                    known.is_open = true;
                    world.place_.open();
                }
                world.tell(20);
                world.lock_.store(0, std::memory_order_release);
            }
        };
        const End end{*this};
        return event();
    }
    Connection* take_idle() {
        for (std::size_t number = 0; number < count_; ++number) {
            if ((known_.idle >> number & 1) == 0) continue;
            known_.idle &= ~(1U << number);
            comes_to_hand(connections_[number]);
            return &connections_[number];
        }
        return nullptr;
    }
    void return_to_plan(Connection& connection) {
        leaves_hand(connection);
        if (known_.waits) {
            known_.waits = false;
            return comes_to_hand(connection); // who waited keeps it
        }
        known_.idle |= 1U << connection.number;
        tell(30);
    }

    Interleaving& run_;
    const bool shuts_;
    WarmPlace<Connection, ExploredMemory<Word>> place_;
    ScheduledAtomic<int> lock_{0};
    std::array<Connection, 2> connections_;
    std::size_t count_ = 0, lent_ = 0;
    struct Known { // all but the hands and loans guarded by the lock
        bool is_open = false, waits = false, is_closed = false;
        unsigned idle = 0;
        std::array<int, 2> hands{}, loans{};
    };
    Known known_;
};

// `acts` at the same time; as many connections as give back are lent at the beginning, and `warm` lie in the place.
template <template <class> class Word>
std::string broken(const std::vector<Does>& acts, std::size_t warm = 0, MemoryModel memory = MemoryModel::weak,
                   bool shuts = true) {
    const auto report = explore(
        [&](Interleaving& run) {
            const auto lent = static_cast<std::size_t>(std::ranges::count(acts, Does::give_back));
            auto world = std::make_shared<World<Word>>(run, lent, warm, shuts);
            run.begin([world] { world->begin(); });
            std::size_t next = 0;
            for (const auto act : acts) {
                const auto mine = act == Does::give_back ? next++ : 0;
                run.thread([world, act, mine] { world->act(act, mine); });
            }
            run.finally([world] { world->check(); });
        },
        {.memory = memory});
    return failure_of(report);
}

TEST(WarmPlaceInEveryOrder, NobodyWaitsBesideAConnectionNobodyIsOvertakenAndNoneIsLost) {
    using enum Does;
    for (const auto memory : {MemoryModel::sequential, MemoryModel::weak}) {
        for (const auto& acts :
             {std::vector{give_back, borrow, wait}, std::vector{give_back, borrow_and_give, wait},
              std::vector{give_back, borrow_and_give, close}, std::vector{give_back, find_stale, wait},
              std::vector{give_back, wait, close}, std::vector{give_back, give_back, wait},
              std::vector{give_back, give_back, borrow}, std::vector{give_back, give_back, close}})
            EXPECT_EQ(broken<ScheduledAtomic>(acts, 0, memory), "");
        for (const auto& acts :
             {std::vector{borrow_and_give, borrow_and_give, wait}, std::vector{borrow, borrow, wait},
              std::vector{borrow_and_give, find_stale, wait}, std::vector{borrow_and_give, borrow_and_give, close},
              std::vector{give_back, borrow_and_give, wait}})
            EXPECT_EQ(broken<ScheduledAtomic>(acts, 1, memory), "");
    }
}

TEST(WarmPlaceInEveryOrder, ASwapInTwoStepsIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<TornSwap>({Does::borrow, Does::borrow}, 1, MemoryModel::sequential)));
    EXPECT_TRUE(is_noticed(broken<TornSwap>({Does::give_back, Does::give_back}, 0, MemoryModel::sequential)));
}

TEST(WarmPlaceInEveryOrder, AnEventThatDoesNotShutThePlaceIsNoticed) {
    EXPECT_EQ(broken<ScheduledAtomic>({Does::give_back, Does::wait}, 0, MemoryModel::sequential, false),
              "somebody waits beside a warm connection");
    EXPECT_EQ(broken<ScheduledAtomic>({Does::give_back, Does::close}, 0, MemoryModel::sequential, false),
              "a connection outlives the pool");
}

TEST(WarmPlaceInEveryOrder, AShutInTwoStepsIsNoticed) {
    EXPECT_TRUE(is_noticed(broken<ShutInTwoSteps>({Does::give_back, Does::wait}, 0, MemoryModel::sequential)));
}

TEST(WarmPlaceInEveryOrder, ATakeThatOpensAShutPlaceIsNoticed) {
    EXPECT_TRUE(is_noticed(
        broken<TakeThatOpens>({Does::borrow_and_give, Does::borrow, Does::wait}, 1, MemoryModel::sequential)));
}

TEST(WarmPlaceInEveryOrder, AMissingReleaseOrAcquireIsNoticed) {
    EXPECT_EQ(broken<UnpublishedPut>({Does::give_back, Does::borrow}), "what was done with it before is not seen");
    EXPECT_EQ(broken<CarelessTake>({Does::give_back, Does::borrow}), "what was done with it before is not seen");
    EXPECT_EQ(broken<CarelessShut>({Does::give_back, Does::wait}), "what was done with it before is not seen");
}

} // namespace
} // namespace velostream
