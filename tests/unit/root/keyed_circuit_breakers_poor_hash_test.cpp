// SPDX-License-Identifier: Apache-2.0
// A new configuration where very many keys that are waited for are in one bucket, and where they move to another.
#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <vector>

#include "velostream/keyed_circuit_breakers.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;

// With the primes that the C++ library of g++ uses: of 127 buckets one behind the first 64, of 257 one among them.
struct OneForAll {
    std::size_t operator()(int) const noexcept { return 19'023; }
};

class PoorHashTest : public ::testing::Test {
  protected:
    static constexpr int keys = 100, for_each = 3;
    static CircuitBreakerConfig with_probes(std::size_t probes) {
        return {.failure_threshold = 1, .success_threshold = probes, .timeout = 10s, .max_half_open_duration = 20s};
    }
    PoorHashTest() {
        for (int key = 0; key < keys; ++key) breakers.try_acquire(key)->failure(Errc::connect_failed);
    }
    void wait_for_all() {
        for (int key = 0; key < keys; ++key)
            for (int i = 0; i < for_each; ++i)
                breakers.async_ready(key, asio::bind_executor(io, [this](boost::system::error_code code) {
                                         if (!code) ++ready;
                                     }));
    }
    void poll() {
        io.restart();
        io.poll();
    }

    asio::io_context io;
    testing::ManualTime time;
    KeyedCircuitBreakers<int, testing::ManualTime, OneForAll> breakers{
        "shops", {.breaker = with_probes(1), .max_keys = 1000}, nullptr, time};
    int ready = 0;
};

TEST_F(PoorHashTest, EveryKeyThatIsWaitedForHearsOfMoreProbes) {
    wait_for_all();
    time.advance(10s);
    poll();
    ASSERT_EQ(ready, keys);

    breakers.reconfigure(with_probes(3));
    poll();

    EXPECT_EQ(ready, keys * for_each);
}

TEST_F(PoorHashTest, AlsoWhereEntriesMoveMeanwhile) {
    time.advance(10s);
    std::vector<KeyedCircuitBreakers<int, testing::ManualTime, OneForAll>::Permit> probes;
    for (int key = 0; key < keys; ++key) probes.push_back(*breakers.try_acquire(key));
    wait_for_all();
    time.advance(20s); // the probes are overdue, which nobody has noticed
    bool has_grown = false;
    breakers.on_state_change([&](const CircuitStateChanged&) {
        if (std::exchange(has_grown, true)) return;
        for (int key = 1000; key < 1060; ++key) breakers.try_acquire(key)->failure(Errc::connect_failed);
    });

    breakers.reconfigure(with_probes(3));
    ASSERT_TRUE(has_grown);
    time.advance(10s);
    poll();

    EXPECT_EQ(ready, keys * for_each);
}

} // namespace
} // namespace velostream
