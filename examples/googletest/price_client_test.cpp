// SPDX-License-Identifier: Apache-2.0
// Tests of a program's policies with GoogleTest: one of a single call, one of an hour of calls.
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <velostream/pipeline.hpp>
#include <velostream/testing/chaos_fault.hpp>
#include <velostream/testing/chaos_latency.hpp>
#include <velostream/testing/scripted_operation.hpp>
#include <velostream/testing/virtual_traffic.hpp>
#include <velostream/timeout.hpp>

namespace {

using namespace std::chrono_literals;
using namespace velostream;
using namespace velostream::testing;

class PriceClientTest : public ::testing::Test {
  protected:
    asio::io_context io;
    ManualTime time;
    RetryExecutor<ManualTime> retry{RetryConfig{.max_retries = 3}, nullptr, time};
    Timeout<ManualTime> each{2s, time};
    ScriptedOperation<int> service{time};
};

TEST_F(PriceClientTest, IsPatientWithAServiceThatHangsOnce) {
    Pipeline guarded{retry, each};
    service.fails(Errc::connect_failed).hangs().takes(1s).returns(300);

    std::optional<Result<int>> price;
    asio::co_spawn(io, guarded.execute(service), [&](std::exception_ptr, Result<int> result) { price = result; });
    time.run_for(io, 1min);

    ASSERT_TRUE(price) << "the call has not ended";
    EXPECT_EQ(price->value(), 300);
    EXPECT_EQ(service.calls(), 3u);
    EXPECT_EQ(service.cancelled(), 1u);
    EXPECT_EQ(service.started_at()[2] - service.started_at()[1], 2s + 200ms) << "the timeout and the second backoff";
}

TEST_F(PriceClientTest, GetsThroughAnHourInWhichTheServiceIsUnwell) {
    const auto seed = RunSeed::from_environment();
    SCOPED_TRACE(seed); // every failure from here on says how to repeat the run
    ChaosFault reset{{.injection_rate = 0.02, .seed = seed.of("reset")}, asio::error::connection_reset};
    ChaosLatency slow{{.injection_rate = 0.1, .seed = seed.of("slow")}, 100ms, 3s, time};
    Pipeline guarded{retry, each, reset, slow};
    service.takes(20ms).returns(300);

    VirtualTraffic traffic{io, time, {.calls = 5, .arrivals = Arrivals::poisson, .seed = seed}};
    const auto report = traffic.run([&] { return guarded.execute(service); });

    EXPECT_TRUE(report.passed()) << report;
    EXPECT_GT(report.success_rate(), 0.999) << report;
    EXPECT_LE(report.longest, 9s) << report;
}

} // namespace
