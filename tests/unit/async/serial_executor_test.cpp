// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/serial_executor.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

namespace velostream {
namespace {

TEST(SerialExecutor, KnowsStrandsAndContextsThatWereMadeForOneThread) {
    asio::io_context many, one{1}, two{2};
    asio::thread_pool pool{1}; // which does not say with how many threads it was made
    const asio::any_io_executor of_any = many.get_executor();

    EXPECT_TRUE(is_serial(one.get_executor()));
    EXPECT_TRUE(is_serial(asio::make_strand(many)));
    EXPECT_TRUE(is_serial(asio::make_strand(pool)));
    EXPECT_TRUE(is_serial(asio::make_strand(of_any)));
    EXPECT_FALSE(is_serial(of_any));
    EXPECT_FALSE(is_serial(two.get_executor()));
    EXPECT_FALSE(is_serial(pool.get_executor()));
}

TEST(SerialExecutor, IsTheGivenOneWhereThatWillDo) {
    asio::io_context many, one{1};
    const asio::any_io_executor alone = one.get_executor();
    const asio::any_io_executor strand = asio::make_strand(many);

    EXPECT_EQ(serial_executor(alone), alone);
    EXPECT_EQ(serial_executor(strand), strand);
}

TEST(SerialExecutor, RunsOneThingAfterTheOtherOnAnyNumberOfThreads) {
    asio::thread_pool pool{4};
    for (const asio::any_io_executor& base :
         {asio::any_io_executor{pool.get_executor()},
          asio::any_io_executor{asio::require(pool.get_executor(), asio::execution::outstanding_work.tracked)}}) {
        const auto serial = serial_executor(base);
        std::atomic<int> running{0}, together{0};
        int ran = 0; // plain: a race is seen by the thread sanitizer
        for (int i = 0; i < 2000; ++i)
            asio::post(serial, [&] {
                if (++running != 1) ++together;
                ++ran;
                --running;
            });
        std::atomic<bool> done{false};
        asio::post(serial, [&] {
            done = true;
            done.notify_one();
        });
        done.wait(false);

        EXPECT_EQ(together, 0);
        EXPECT_EQ(ran, 2000);
    }
    pool.join();
}

TEST(SerialExecutor, PeelsStrandsOffStrandsAndCountsAsNoWork) {
    asio::io_context io;
    const asio::any_io_executor tracked = asio::require(io.get_executor(), asio::execution::outstanding_work.tracked);
    const asio::any_io_executor twice = asio::make_strand(asio::any_io_executor{asio::make_strand(tracked)});

    const auto below = below_strands(twice);

    EXPECT_EQ(below, asio::any_io_executor{io.get_executor()});
    EXPECT_EQ(below_strands(below), below);
}

} // namespace
} // namespace velostream
