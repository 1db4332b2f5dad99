// SPDX-License-Identifier: Apache-2.0
#include "kafka/pool_connection.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace velostream::kafka {
namespace {

using namespace std::chrono_literals;

Properties backoff(Duration of_pool, Properties of_user = {}) {
    add_backoff(of_user, of_pool);
    return of_user;
}
Properties both(const char* first, const char* longest) {
    return {{"reconnect.backoff.ms", first}, {"reconnect.backoff.max.ms", longest}};
}

TEST(PoolConnectionTest, TheClientsWaitAsLongAsThePoolSaysAndUpToTenTimesAsLong) {
    EXPECT_EQ(backoff(100ms), both("100", "1000"));
    EXPECT_EQ(backoff(1ns), both("1", "10")) << "rounded up: 0 is another thing";
}

TEST(PoolConnectionTest, NothingIsLongerThanTheClientLibraryTakes) {
    EXPECT_EQ(backoff(30min), both("1800000", "3600000"));
    EXPECT_EQ(backoff(Duration::max()), both("3600000", "3600000"));
}

TEST(PoolConnectionTest, WhatTheUserSaysStays) {
    const Properties first{{"reconnect.backoff.ms", "7"}}, longest{{"reconnect.backoff.max.ms", "7"}};

    EXPECT_EQ(backoff(100ms, first), first);
    EXPECT_EQ(backoff(100ms, longest), longest);
}

} // namespace
} // namespace velostream::kafka
