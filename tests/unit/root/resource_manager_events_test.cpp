// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <iostream>
#include <sstream>
#include <utility>
#include <vector>

#include "resource_manager_fixture.hpp"

namespace velostream {
namespace {

TEST_F(ResourceManagerTest, ShrinkingByMoreThanThereIsReleasesWhatThereIs) {
    ResourceManager resources{io.get_executor(), {.max_memory_mb = 1, .log_resource_allocations = true}, options()};
    auto allocation = resources.allocate_memory("batch", 1000);

    allocation->shrink(5000);

    EXPECT_EQ(allocation->bytes(), 0u);
    EXPECT_EQ(observer->take(), (Events{"allocated batch 1000, used 1000", "released batch 1000, used 0"}));
}

TEST_F(ResourceManagerTest, TheObserverHearsOfWhatAnAllocationGivesBackWhenItIsAssignedTo) {
    auto resources = manager({.max_memory_mb = 1, .log_resource_allocations = true});
    auto first = *resources.allocate_memory("a", 1000);
    auto second = *resources.allocate_memory("b", 500);
    observer->take();

    first = std::move(second);

    EXPECT_EQ(observer->take(), Events{"released a 1000, used 500"});
}

TEST_F(ResourceManagerTest, AnAllocationOfAnotherManagerStaysWithThatOne) {
    auto silent = limited(1);
    auto heard = manager({.max_memory_mb = 1, .log_resource_allocations = true});
    auto allocation = *silent.allocate_memory("a", 1000);
    allocation = *heard.allocate_memory("b", 500);
    observer->take();

    allocation.release();

    EXPECT_EQ(observer->take(), Events{"released b 500, used 0"});
}

TEST_F(ResourceManagerTest, TheObserverHearsNothingOfAWaitThatIsCancelled) {
    auto resources = manager({.max_memory_mb = 1, .debug_resource_management = true, .log_resource_allocations = true});
    const auto held = resources.allocate_memory("held", 1_MiB);
    asio::cancellation_signal signal;
    bool has_ended = false;
    auto handler = asio::bind_executor(io, [&](const Result<Allocation>&) { has_ended = true; });
    resources.async_allocate_memory("waits", 1, asio::bind_cancellation_slot(signal.slot(), std::move(handler)));
    observer->take();

    signal.emit(asio::cancellation_type::terminal);
    io.poll();

    EXPECT_TRUE(has_ended);
    EXPECT_EQ(observer->take(), Events{}) << "it was refused nothing";
}

TEST_F(ResourceManagerTest, TheObserverHearsOfNoTransferToTheSameAccount) {
    auto resources = manager({.max_memory_mb = 1, .log_resource_allocations = true});
    auto allocation = *resources.allocate_memory("a", 1000);
    observer->take();

    EXPECT_TRUE(allocation.try_transfer(resources.account("a")));

    EXPECT_EQ(observer->take(), Events{});
}

TEST_F(ResourceManagerTest, TheObserverHearsOfTransfers) {
    auto resources = manager({.max_memory_mb = 1, .debug_resource_management = true, .log_resource_allocations = true});
    auto allocation = *resources.allocate_memory("a", 1000);
    resources.account("b").set_limit(999);
    observer->take();

    EXPECT_FALSE(allocation.try_transfer(resources.account("b")));
    EXPECT_TRUE(allocation.try_transfer(resources.account("c")));

    EXPECT_EQ(observer->take(),
              (Events{"refused b 1000", "released a 1000, used 1000", "allocated c 1000, used 1000"}));
}

TEST_F(ResourceManagerTest, TheObserverHearsOfGrowthThatIsRefused) {
    auto resources = manager({.max_memory_mb = 1, .debug_resource_management = true});
    auto allocation = *resources.allocate_memory("a", 1000);
    observer->take();

    EXPECT_FALSE(allocation.try_grow(2_MiB));

    EXPECT_EQ(observer->take(), Events{"refused a 2097152"});
}

TEST_F(ResourceManagerTest, TheObserverHearsOfAllocationsAndRefusalsOnlyAsTheFlagsSay) {
    const auto use = [this](StreamingConfig config) {
        config.max_memory_mb = 1;
        auto resources = manager(config);
        {
            const auto allocation = resources.allocate_memory("windows", 1000);
        }
        EXPECT_FALSE(resources.allocate_memory("windows", 2_MiB));
        return observer->take();
    };
    const Events named{"allocated windows 1000, used 1000", "released windows 1000, used 0"};
    auto all = named;
    all.push_back("refused windows 2097152");

    EXPECT_EQ(use({}), Events{});
    EXPECT_EQ(use({.log_resource_allocations = true}), named);
    EXPECT_EQ(use({.debug_resource_management = true}), all);
}

TEST_F(ResourceManagerTest, HandsOutAnObserverThatFiltersForEveryComponent) {
    auto resources = manager({.log_resource_allocations = true});
    const Error error = Errc::memory_limit_exceeded;

    resources.observer()->on_memory_released({.account = "process", .name = "x", .bytes = 1, .used = 0});
    resources.observer()->on_memory_refused({.account = "process", .name = "x", .asked = 1, .error = error});

    EXPECT_EQ(observer->take(), Events{"released x 1, used 0"});
}

TEST_F(ResourceManagerTest, WithoutAnObserverPrintsLinesToClogIfAFlagIsSet) {
    std::ostringstream out;
    auto* before = std::clog.rdbuf(out.rdbuf());
    {
        ResourceManager quiet{io.get_executor(), {.max_memory_mb = 1}};
        ResourceManager loud{io.get_executor(), {.max_memory_mb = 1, .log_resource_allocations = true}};
        static_cast<void>(quiet.allocate_memory("quiet", 1000));
        static_cast<void>(loud.allocate_memory("loud", 1000));
    }
    std::clog.rdbuf(before);

    EXPECT_EQ(out.str(),
              "velostream: memory loud: allocated 1000 bytes, process uses 1000 of 1048576\n"
              "velostream: memory loud: released 1000 bytes, process uses 0\n");
}

TEST_F(ResourceManagerTest, EachFlagAloneMakesItPrint) {
    const std::vector<StreamingConfig> flags{
        {.log_resource_allocations = true}, {.log_circuit_breaker_state_changes = true},
        {.log_retry_attempts = true},       {.debug_resource_management = true},
        {.debug_circuit_breakers = true},   {.debug_retries = true}};
    std::ostringstream out;
    auto* before = std::clog.rdbuf(out.rdbuf());
    for (const auto& config : flags) {
        const ResourceManager resources{io.get_executor(), config};
        resources.observer()->on_pressure_changed({PressureLevel::normal, PressureLevel::high, 81.5});
    }
    std::clog.rdbuf(before);

    const auto text = out.str();
    EXPECT_EQ(std::ranges::count(text, '\n'), 6) << text;
}

} // namespace
} // namespace velostream
