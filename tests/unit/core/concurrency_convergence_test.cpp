// SPDX-License-Identifier: Apache-2.0
// Where an adaptive limit ends up before a server of which everything is known.
#include <gtest/gtest.h>

#include <vector>

#include "unit/core/concurrency_fixture.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::GradientLimit;
using testing::SimulatedServer;

constexpr std::size_t plenty = 1000; // callers

Duration time_for(const SimulatedServer& server, double calls) {
    return std::chrono::ceil<Duration>(std::chrono::duration<double>{calls / server.capacity()});
}

// The limit is what Little's law asks for, throughput × latency without load, and at most twice that, or a few more:
// the queue that is tolerated, and the root that goes with it.
void expect_converged(const SimulatedServer& server, const GradientLimit& limit, std::size_t workers) {
    EXPECT_GE(server.throughput(), 0.93 * server.capacity()) << workers << " workers";
    EXPECT_GE(limit.gradient.limit(), limit.gradient.is_measuring() ? workers / 4 : workers);
    EXPECT_LE(limit.gradient.limit(), 2 * workers + 6) << workers << " workers";
}

TEST(AdaptiveConcurrency, ConvergesOnWhatAServerTakesByLittlesLaw) {
    for (const double spread : {0.0, 0.5, 0.99})
        for (const std::size_t workers : {2u, 10u, 100u})
            for (const std::size_t initial : {1u, 20u, 200u}) {
                GradientLimit limit{{.initial_limit = initial, .max_limit = 1000}};
                SimulatedServer server{workers, 10ms};
                server.set_spread(spread);

                server.run(limit, time_for(server, 60'000), plenty);
                server.run(limit, time_for(server, 20'000), plenty);

                expect_converged(server, limit, workers);
            }
}

// What was let in at first is served first: that alone takes as long as it takes.
TEST(AdaptiveConcurrency, ConvergesSoonFromFarAbove) {
    for (const double spread : {0.0, 0.5, 0.99})
        for (const std::size_t workers : {2u, 20u, 100u})
            for (const std::size_t initial : {1000u, 10'000u}) {
                GradientLimit limit{{.initial_limit = initial, .max_limit = 10'000}};
                SimulatedServer server{workers, 10ms};
                server.set_spread(spread);

                server.run(limit, 3s + 3 * time_for(server, static_cast<double>(initial)), 20'000);

                EXPECT_LE(limit.gradient.limit(), 2 * workers + 6) << workers << " workers, from " << initial;
                EXPECT_GE(limit.gradient.limit(), workers / 4) << workers << " workers, from " << initial;
            }
}

TEST(AdaptiveConcurrency, DoesNotCreepUpUnderALoadThatStays) {
    GradientLimit limit{{.max_limit = 1000}};
    SimulatedServer server{20, 10ms};
    server.set_spread(0.5);

    for (int hour = 0; hour < 5; ++hour) {
        server.run(limit, 200s, plenty);
        EXPECT_LE(server.most_at_once(), 60u);
        EXPECT_LE(server.mean_latency(), 21ms);
    }
}

TEST(AdaptiveConcurrency, FollowsAServerThatSlowsDownAndHeals) {
    GradientLimit limit{{.max_limit = 1000}};
    SimulatedServer server{20, 10ms};
    server.set_spread(0.3);
    server.run(limit, 60s, plenty);
    expect_converged(server, limit, 20);

    server.set_service(80ms);
    server.run(limit, 120s, plenty);
    server.run(limit, 60s, plenty);
    expect_converged(server, limit, 20);
    EXPECT_GE(limit.gradient.latency_without_load(), 70ms) << "it has learned that nothing is faster now";

    server.set_service(10ms);
    server.run(limit, 60s, plenty);
    server.run(limit, 60s, plenty);
    expect_converged(server, limit, 20);
    EXPECT_LE(limit.gradient.latency_without_load(), 12ms);
}

TEST(AdaptiveConcurrency, WhatTheApplicationDoesNotUseIsNotLearned) {
    GradientLimit limit{{.max_limit = 1000}};
    SimulatedServer server{50, 10ms};
    server.set_spread(0.3);

    for (const std::size_t demand : {15u, 1u, 10u, 4u}) {
        server.run(limit, 100s, demand);
    }
    for (const auto& change : limit.changes) EXPECT_LE(change.to, 20u);
    EXPECT_EQ(limit.gradient.limit(), 20u);
    server.run(limit, 100s, plenty);

    expect_converged(server, limit, 50);
}

TEST(AdaptiveConcurrency, CallsThatAnOverloadDropsLowerTheLimitOnce) {
    GradientLimit limit{{.initial_limit = 100, .tolerated_drop_rate = 0}};
    std::vector<GradientLimit::Epoch> calls;
    while (limit.has_room()) calls.push_back(limit.begin());

    for (const auto call : calls) limit.dropped(call);

    EXPECT_EQ(limit.gradient.limit(), 90u);
    EXPECT_EQ(limit.late, 99u) << "they began before the limit was lowered";
    limit.dropped(limit.begin());
    EXPECT_EQ(limit.gradient.limit(), 81u);
}

TEST(AdaptiveConcurrency, CallsThatBeganUnderAnEarlierLimitAreNotJudged) {
    GradientLimit limit{{.initial_limit = 100, .tolerated_drop_rate = 0}};
    std::vector<GradientLimit::Epoch> calls;
    for (int i = 0; i < 90; ++i) calls.push_back(limit.begin());
    limit.dropped(limit.begin());
    ASSERT_EQ(limit.gradient.limit(), 90u);

    for (const auto call : calls) limit.served(call, 10s);

    EXPECT_EQ(limit.window.samples().count, 0u);
    EXPECT_EQ(limit.late, 90u);
    EXPECT_EQ(limit.gradient.limit(), 90u);
}

TEST(AdaptiveConcurrency, ComesBackAfterAnOutage) {
    GradientLimit limit{{}};
    SimulatedServer server{20, 10ms};
    server.run(limit, 60s, plenty);

    for (int i = 0; i < 1000; ++i) limit.dropped(limit.begin());
    EXPECT_EQ(limit.gradient.limit(), 1u);
    server.run(limit, 60s, plenty);
    server.run(limit, 20s, plenty);

    expect_converged(server, limit, 20);
}

} // namespace
} // namespace velostream
