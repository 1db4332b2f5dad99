// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/observer.hpp"

#include <gtest/gtest.h>

namespace velostream {
namespace {

TEST(Observer, WhatIsNotOverriddenDoesNothing) {
    Observer observer;
    const Error error = Errc::circuit_open;
    observer.on_memory_refused({.account = "process", .name = "window", .asked = 1, .error = error});
    observer.on_retry_given_up({.attempts = 1, .why = "not retried", .error = error});
    SUCCEED();
}

TEST(Observer, StatesAndLevelsHaveWords) {
    EXPECT_EQ(to_string(CircuitState::half_open), "half_open");
    EXPECT_EQ(to_string(CircuitState::forced_open), "forced_open");
    EXPECT_EQ(to_string(PressureLevel::critical), "critical");
    EXPECT_LT(PressureLevel::normal, PressureLevel::high);
}

} // namespace
} // namespace velostream
