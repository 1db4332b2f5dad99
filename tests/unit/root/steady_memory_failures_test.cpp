// SPDX-License-Identifier: Apache-2.0
// With the machine's clock, and so with deadlines and alarms that are Asio's: whichever request for memory of the
// memory manager and its waits fails, the program goes on. Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "resource_manager_fixture.hpp"
#include "support/allocation_count.hpp"
#include "tied_alarm.hpp"
#include "velostream/async_reserve.hpp"
#include "velostream/async_reserve_all.hpp"

namespace velostream::steady_memory_failures_test {
namespace {

using testing::with_each_request_failing;

TimePoint in_an_hour() {
    return SteadyTime{}.now() + 1h;
}

template <class Call>
bool has_memory_for(Call call) {
    try {
        call();
    } catch (const std::bad_alloc&) {
        return false;
    }
    return true;
}

// Waits in contexts that nobody has used before, and in one that others have used.
class SteadyReserveFailuresTest : public ::testing::TestWithParam<bool> {
  protected:
    template <class Begin>
    void expect_each_to_begin_or_throw(Begin begin) {
        make_context();
        bool has_begun = false;
        const auto try_to_begin = [&] { has_begun = has_memory_for(begin); };
        const auto failures = with_each_request_failing(try_to_begin, [&] {
            const int before = ended;
            cancel.emit(asio::cancellation_type::terminal);
            io->restart();
            io->poll();
            EXPECT_TRUE(io->stopped()) << "something goes on";
            EXPECT_EQ(ended - before, has_begun ? 1 : 0);
            EXPECT_FALSE(account.anyone_waits());
            EXPECT_EQ(places.used(), 0u);
            if (!GetParam()) make_context();
        });
        EXPECT_GE(failures, 3);
    }
    auto handler() {
        return asio::bind_cancellation_slot(cancel.slot(), asio::bind_executor(*io, [this](const auto&) { ++ended; }));
    }

    asio::cancellation_signal cancel;
    const MemoryAccount account{"account", 100}, places{"places", 1};
    const MemoryReservation full = *account.try_reserve(100);
    int ended = 0;
    std::optional<asio::io_context> io;

  private:
    void make_context() {
        io.emplace();
        if (!GetParam()) return;
        async_reserve(account, 10, in_an_hour(), SteadyTime{}, handler());
        cancel.emit(asio::cancellation_type::terminal);
        io->poll();
    }
};

TEST_P(SteadyReserveFailuresTest, AWaitWithADeadlineBeginsOrThrows) {
    expect_each_to_begin_or_throw([this] { async_reserve(account, 10, in_an_hour(), SteadyTime{}, handler()); });
}

TEST_P(SteadyReserveFailuresTest, AWaitForSeveralBudgetsWithADeadlineBeginsOrThrows) {
    expect_each_to_begin_or_throw(
        [this] { async_reserve_all({{account, 10}, {places, 1}}, in_an_hour(), SteadyTime{}, handler()); });
}

INSTANTIATE_TEST_SUITE_P(ContextUsedBefore, SteadyReserveFailuresTest, ::testing::Bool());

TEST(SteadyTiedAlarm, IsSetOrNot) {
    asio::io_context io;
    const auto set_alarm = detail::ManagerClock::of(SteadyTime{}).set_alarm;
    std::optional<TiedAlarm> alarm;
    alarm.emplace(io.get_executor(), set_alarm, [] {});
    bool is_set = false;
    const auto failures = with_each_request_failing([&] { is_set = alarm->set(in_an_hour()); },
                                                    [&] {
                                                        EXPECT_EQ(alarm->is_set(), is_set);
                                                        alarm->stop();
                                                        io.restart();
                                                        io.poll();
                                                        EXPECT_TRUE(io.stopped()) << "something goes on";
                                                    });

    EXPECT_GE(failures, 3);
    EXPECT_TRUE(is_set);
}

struct Cache final : Reclaimer {
    explicit Cache(const MemoryAccount& account) : held(*account.try_reserve(0)) {}
    ReclaimKind kind() const noexcept override { return ReclaimKind::spill; }
    Bytes estimate() const noexcept override { return held.bytes(); }
    asio::awaitable<void> reclaim(Bytes wanted) override {
        held.shrink(wanted);
        co_return;
    }
    MemoryReservation held;
};

class SteadyMemoryFailuresTest : public ResourceManagerTest {
  protected:
    SteadyMemoryFailuresTest() { observer = nullptr; } // it would want memory, too
    ~SteadyMemoryFailuresTest() override { resources.reset(); }

    void make_manager() {
        auto polling = options();
        polling.pressure_poll_interval = 1h;
        resources.emplace(context->get_executor(), StreamingConfig{.max_memory_mb = 1}, polling);
    }
    // One that nothing has been done with, in a context of its own.
    void make_anew() {
        resources.reset();
        context.emplace();
        make_manager();
        run();
    }
    void run() {
        context->restart();
        context->poll();
    }
    // Nothing is held or waited for, and everything can be had.
    void expect_intact() {
        run();
        EXPECT_EQ(resources->memory().used(), 0u);
        EXPECT_FALSE(resources->memory().anyone_waits() || resources->queries().anyone_waits());
        EXPECT_TRUE(resources->memory().try_reserve(1_MiB));
        EXPECT_TRUE(resources->queries().try_reserve(100));
    }

    std::optional<asio::io_context> context{std::in_place};
    std::optional<ResourceManager<>> resources;
};

TEST_F(SteadyMemoryFailuresTest, AManagerIsMadeOrThrows) {
    bool is_made = false;
    const auto make = [&] { is_made = has_memory_for([&] { make_manager(); }); };
    const auto failures = with_each_request_failing(make, [&] {
        if (is_made) expect_intact();
        resources.reset();
        run();
        context.emplace();
    });

    EXPECT_GE(failures, 20);
}

TEST_F(SteadyMemoryFailuresTest, AWaitIsWatchedAndEndsOrThrows) {
    make_anew();
    std::optional<Allocation> held{*resources->allocate_memory("held", 1_MiB)};
    int begun = 0, ended = 0;
    const auto wait = [&] {
        const bool has_begun = has_memory_for([&] {
            resources->async_allocate_memory("x", 1000, in_an_hour(),
                                             asio::bind_executor(*context, [&](const auto&) { ++ended; }));
        });
        begun += has_begun ? 1 : 0;
        has_memory_for([&] { run(); }); // sets the alarms of who looks after it
    };
    const auto failures = with_each_request_failing(wait, [&] {
        held.reset();
        run();
        EXPECT_EQ(ended, begun);
        expect_intact();
        make_anew();
        held.emplace(*resources->allocate_memory("held", 1_MiB));
    });

    EXPECT_GE(failures, 5);
    EXPECT_GE(begun, 2);
}

TEST_F(SteadyMemoryFailuresTest, AReclaimAndTheFallOfALevelFindNoMemoryAndNobodyDies) {
    std::shared_ptr<Cache> cache;
    std::optional<Registration> registered;
    const auto make = [&] {
        registered.reset();
        cache.reset();
        make_anew();
        const auto account = resources->account("cache");
        cache = std::make_shared<Cache>(account);
        registered.emplace(resources->add_reclaimer(context->get_executor(), account, cache));
        run();
    };
    make();
    const auto press = [&] {
        has_memory_for([&] {
            if (cache->held.try_grow(950_KiB)) run();
            cache->held.release();
            run();
        });
    };
    const auto failures = with_each_request_failing(press, [&] {
        cache->held.release();
        expect_intact();
        make();
    });

    EXPECT_GE(failures, 5);
    registered.reset();
}

} // namespace
} // namespace velostream::steady_memory_failures_test
#endif
