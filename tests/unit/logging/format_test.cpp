// SPDX-License-Identifier: Apache-2.0
#include "velostream/logging/format.hpp"

#include <gtest/gtest.h>

namespace velostream {
namespace {

TEST(Format, PrintsAnErrorAsItsMessage) {
    const Error error{Errc::send_timeout, "topic orders"};

    EXPECT_EQ(fmt::format("{}", error), error.message());
    EXPECT_EQ(fmt::format("{}", error), "send timed out: topic orders");
}

TEST(Format, PrintsCodesAsTheirTexts) {
    EXPECT_EQ(fmt::format("{}", Errc::circuit_open), "circuit open");
    EXPECT_EQ(fmt::format("{}", CircuitBreakerError::open), "circuit open");
    EXPECT_EQ(fmt::format("{}", CircuitBreakerError::operation_failed), "operation failed");
}

TEST(Format, PrintsKindsAndStatesAsTheirWords) {
    EXPECT_EQ(fmt::format("{}", ErrorType::service_unavailable), "service_unavailable");
    EXPECT_EQ(fmt::format("{}", CircuitState::half_open), "half_open");
    EXPECT_EQ(fmt::format("{}", PressureLevel::critical), "critical");
    EXPECT_EQ(fmt::format("{}", FailedStage::send), "KAFKA_PRODUCE");
    EXPECT_EQ(fmt::format("{}", TimestampType::create_time), "CreateTime");
}

TEST(Format, WidthAndAlignmentWorkAsForStrings) {
    EXPECT_EQ(fmt::format("[{:>8}]", CircuitState::open), "[    open]");
    EXPECT_EQ(fmt::format("[{:<14}]", Error{Errc::cancelled}), "[cancelled     ]");
}

} // namespace
} // namespace velostream
