// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "resource_manager_fixture.hpp"

namespace velostream {
namespace {

using Levels = std::vector<PressureLevel>;

class PressureListenerTest : public ResourceManagerTest {
  protected:
    void run() {
        io.restart();
        io.poll();
    }
    auto listen(Levels& into) {
        return resources.add_pressure_listener(io.get_executor(),
                                               [&into](PressureLevel level) { into.push_back(level); });
    }
    ResourceManager<NoConnections, ManualTime> resources = limited(100);
    Levels told;
};

TEST_F(PressureListenerTest, IsToldTheLevelOnItsExecutorOnceForManyChanges) {
    auto registered = listen(told);
    {
        auto high = resources.allocate_memory("sends", 85_MiB);
        auto critical = resources.allocate_memory("sends", 10_MiB);
        EXPECT_TRUE(told.empty());
        run();
        EXPECT_EQ(told, Levels{PressureLevel::critical});
        time.advance(1s);
    }
    time.advance(1s);
    static_cast<void>(resources.get_memory_stats()); // critical, high, normal by now
    run();

    EXPECT_EQ(told, (Levels{PressureLevel::critical, PressureLevel::normal}));
    registered.release();
    auto high = resources.allocate_memory("sends", 85_MiB);
    run();
    EXPECT_EQ(told.size(), 2u);
}

TEST_F(PressureListenerTest, IsToldAfterwardsWhatChangesWhileItRuns) {
    std::optional<Allocation> more;
    const auto registered = resources.add_pressure_listener(io.get_executor(), [&](PressureLevel level) {
        if (level == PressureLevel::high) {
            more.emplace(*resources.allocate_memory("sends", 15_MiB));
            io.poll(); // what was posted for it may begin at once, on this thread or another
        }
        told.push_back(level); // at its end
    });
    const auto held = resources.allocate_memory("sends", 80_MiB);
    run();

    EXPECT_EQ(told, (Levels{PressureLevel::high, PressureLevel::critical})) << "one call at a time";
}

TEST_F(PressureListenerTest, ThatThrowsIsToldWhatChangedMeanwhile) {
    std::optional<Allocation> more;
    const auto registered = resources.add_pressure_listener(io.get_executor(), [&](PressureLevel level) {
        told.push_back(level);
        if (level == PressureLevel::critical) return;
        more.emplace(*resources.allocate_memory("sends", 15_MiB));
        io.poll();
        throw std::runtime_error{"listener"};
    });
    const auto held = resources.allocate_memory("sends", 80_MiB);
    EXPECT_THROW(run(), std::runtime_error);
    run();

    EXPECT_EQ(told, (Levels{PressureLevel::high, PressureLevel::critical}));
}

TEST_F(PressureListenerTest, ThatThrowsIsToldTheNextTimeAndTheOthersAreToldNow) {
    Levels others;
    const auto throwing = resources.add_pressure_listener(io.get_executor(), [&](PressureLevel level) {
        told.push_back(level);
        throw std::runtime_error{"listener"};
    });
    const auto other = listen(others);

    const auto high = resources.allocate_memory("sends", 85_MiB);
    EXPECT_THROW(run(), std::runtime_error) << "it comes out of the executor it ran on";
    run();
    EXPECT_EQ(told, Levels{PressureLevel::high});
    EXPECT_EQ(others, Levels{PressureLevel::high});

    const auto critical = resources.allocate_memory("sends", 10_MiB);
    EXPECT_THROW(run(), std::runtime_error);
    run();
    EXPECT_EQ(told, (Levels{PressureLevel::high, PressureLevel::critical}));
    EXPECT_EQ(others, told);
}

TEST_F(PressureListenerTest, OfAnExecutorThatIsStoppedIsToldWhenThatGoesOn) {
    asio::io_context stopped;
    stopped.stop();
    Levels others;
    const auto registered =
        resources.add_pressure_listener(stopped.get_executor(), [&](PressureLevel level) { told.push_back(level); });
    const auto other = listen(others);
    const auto high = resources.allocate_memory("sends", 85_MiB);
    run();
    EXPECT_EQ(others, Levels{PressureLevel::high});
    const auto critical = resources.allocate_memory("sends", 10_MiB);
    run();
    EXPECT_EQ(others, (Levels{PressureLevel::high, PressureLevel::critical}));
    EXPECT_TRUE(told.empty());

    stopped.restart();
    stopped.poll();

    EXPECT_EQ(told, Levels{PressureLevel::critical}) << "once, the level of that moment";
}

} // namespace
} // namespace velostream
