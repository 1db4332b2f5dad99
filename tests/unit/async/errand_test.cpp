// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/errand.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <thread>

#include "support/interrupted_executor.hpp"

namespace velostream {
namespace {

TEST(Errand, IsOnItsWayOnceHoweverOftenItIsAskedFor) {
    asio::io_context io;
    int done = 0;
    const auto errand = std::make_shared<Errand>(io.get_executor(), [&done] { ++done; });
    for (int i = 0; i < 3; ++i) errand->soon();
    EXPECT_EQ(done, 0) << "never inside of the call";
    io.poll();
    EXPECT_EQ(done, 1);

    errand->soon();
    io.restart();
    io.poll();
    EXPECT_EQ(done, 2);
}

TEST(Errand, WhoAsksWhileAnotherThreadPostsIsHeardAfterwards) {
    asio::io_context io;
    std::function<void()> interruption;
    int done = 0;
    const auto errand =
        std::make_shared<Errand>(InterruptedExecutor{io.get_executor(), interruption}, [&done] { ++done; });
    interruption = [&] {
        io.poll(); // the work begins and ends before the post that brought it has come back
        std::thread{[&] { errand->soon(); }}.join();
    };
    errand->soon();
    io.restart();
    io.poll();

    EXPECT_EQ(done, 2);
}

TEST(Errand, WhoAsksWhileAnotherThreadsPostFindsNoMemoryIsHeard) {
    asio::io_context io;
    std::function<void()> interruption;
    int done = 0;
    const auto errand =
        std::make_shared<Errand>(InterruptedExecutor{io.get_executor(), interruption, false}, [&done] { ++done; });
    interruption = [&] { std::thread{[&] { errand->soon(); }}.join(); };
    errand->soon();
    io.poll();

    EXPECT_EQ(done, 1);
}

TEST(Errand, EndsWithItsContext) {
    int done = 0;
    std::shared_ptr<Errand> errand;
    {
        asio::io_context io;
        errand = std::make_shared<Errand>(io.get_executor(), [&done] { ++done; });
        errand->soon();
    }
    errand->soon();

    EXPECT_EQ(done, 0);
}

} // namespace
} // namespace velostream
