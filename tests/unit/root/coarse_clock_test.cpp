// SPDX-License-Identifier: Apache-2.0
// A manager whose coarse clock is behind the one that alarms ring by, as the kernel's is by up to 10 ms.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "reclaim_fixture.hpp"

namespace velostream::coarse_clock_test {
namespace {

class LaggingTime {
  public:
    explicit LaggingTime(ManualTime time) : time_(std::move(time)) {}

    TimePoint now() const noexcept { return time_.now(); }
    TimePoint coarse_now() const noexcept { return time_.now() - 4ms; }
    void sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler) {
        ++*begun_;
        time_.sleep_until(executor, at, std::move(handler));
    }
    int begun() const noexcept { return *begun_; }

  private:
    ManualTime time_;
    std::shared_ptr<int> begun_ = std::make_shared<int>(0);
};

class CoarseClockTest : public ::testing::Test {
  protected:
    void advance(Duration by) {
        time.advance(by);
        io.restart();
        io.poll();
    }

    asio::io_context io;
    ManualTime time;
    LaggingTime lagging{time};
    ResourceManager<NoConnections, LaggingTime> resources{io.get_executor(),
                                                          {.max_memory_mb = 100},
                                                          {.system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}},
                                                          lagging};
};

TEST_F(CoarseClockTest, AfterARestWhoWaitsIsAskedForAgain) {
    const auto held = resources.account("cache");
    const auto cache = std::make_shared<Cache>(held, ReclaimKind::flush, 0, 100 * mebibyte);
    const auto registered = resources.add_reclaimer(io.get_executor(), held, cache);
    cache->fill(held); // and nothing of it can be freed yet
    cache->nothing_to_free = true;
    std::optional<Result<MemoryReservation>> granted;
    async_reserve(resources.memory(), 1, asio::bind_executor(io, [&](Result<MemoryReservation> reserved) {
                      granted.emplace(std::move(reserved));
                  }));
    advance(1ms);
    cache->nothing_to_free = false;
    advance(250ms);

    EXPECT_TRUE(granted);
}

TEST_F(CoarseClockTest, ALevelFallsWithOneAlarm) {
    const auto account = resources.account("query");
    auto held = *account.try_reserve(90 * mebibyte);
    advance(1ms);
    ASSERT_EQ(resources.pressure(), PressureLevel::high);
    held.release();
    const auto before = lagging.begun();
    advance(1ms);
    advance(249ms);
    for (int i = 0; i < 100; ++i) advance(1ns);

    EXPECT_EQ(resources.pressure(), PressureLevel::normal);
    EXPECT_LE(lagging.begun() - before, 1);
}

} // namespace
} // namespace velostream::coarse_clock_test
