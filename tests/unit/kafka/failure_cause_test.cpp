// SPDX-License-Identifier: Apache-2.0
#include "kafka/failure_cause.hpp"

#include <gtest/gtest.h>

#include "velostream/kafka/error.hpp"

namespace velostream::kafka {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint t0{1000s};
constexpr int transport = -195, all_brokers_down = -187, authentication = -169, timed_out = -185, ssl = -181;
const FailureCause::Send send{"orders", t0};

TEST(FailureCause, WithoutACauseATimeoutIsATimeout) {
    const FailureCause cause;

    EXPECT_EQ(cause.not_written_in_time(send, t0 + 1s), Errc::send_timeout);
    EXPECT_EQ(cause.not_written_in_time(send, t0 + 1s).detail(), "topic orders: no acknowledgment within 1000 ms");
    EXPECT_EQ(cause.perhaps_written(send, t0 + 1s), Errc::send_outcome_unknown);
    EXPECT_EQ(cause.perhaps_written(send, t0 + 1s).inner(), nullptr);
}

TEST(FailureCause, WhatIsInForceIsToBlame) {
    FailureCause cause;
    cause.note(transport, "connection refused");

    const auto certain = cause.not_written_in_time(send, t0 + 1s);
    const auto unknown = cause.perhaps_written(send, t0 + 1s);

    EXPECT_EQ(certain, Errc::broker_unreachable);
    EXPECT_EQ(certain, ErrorType::network);
    EXPECT_NE(certain.detail().find("connection refused"), std::string_view::npos);
    EXPECT_EQ(unknown, Errc::send_outcome_unknown);
    EXPECT_EQ(*unknown.inner(), Errc::broker_unreachable);
    EXPECT_EQ(cause.current(), "connection refused");
}

TEST(FailureCause, AHungBrokerIsATimeoutAndAWrongPasswordAnAuthenticationError) {
    FailureCause hung, password;
    hung.note(timed_out, "request timed out");
    password.note(authentication, "wrong password");

    EXPECT_EQ(hung.not_written_in_time(send, t0), ErrorType::timeout);
    EXPECT_EQ(password.not_written_in_time(send, t0), ErrorType::authentication);
}

TEST(FailureCause, ACertificateThatCannotBeVerifiedIsAnAuthenticationErrorAndABrokenHandshakeANetworkError) {
    FailureCause untrusted, broken;
    untrusted.note(ssl, "SSL handshake failed: certificate verify failed");
    broken.note(ssl, "SSL handshake failed: connection reset");

    EXPECT_EQ(untrusted.not_written_in_time(send, t0), ErrorType::authentication);
    EXPECT_EQ(broken.not_written_in_time(send, t0), ErrorType::network);
}

TEST(FailureCause, AnOutageThatIsOverIsToBlameOnlyForSendsThatBeganInIt) {
    FailureCause cause;
    cause.note(transport, "refused");
    cause.note_success(t0 + 500ms);

    EXPECT_EQ(cause.not_written_in_time({"orders", t0 + 400ms}, t0 + 1s), Errc::broker_unreachable);
    EXPECT_EQ(cause.not_written_in_time({"orders", t0 + 500ms}, t0 + 1s), Errc::broker_unreachable);
    EXPECT_EQ(cause.not_written_in_time({"orders", t0 + 600ms}, t0 + 1s), Errc::send_timeout);
    EXPECT_EQ(cause.current(), "");
}

TEST(FailureCause, TheMoreTellingComplaintIsKept) {
    FailureCause cause;
    cause.note(all_brokers_down, "all down");
    EXPECT_EQ(cause.not_written_in_time(send, t0), Errc::broker_unreachable);
    cause.note(transport, "refused");
    cause.note(all_brokers_down, "all down");
    EXPECT_EQ(cause.current(), "refused");
    cause.note(authentication, "wrong password");
    cause.note(transport, "refused");
    EXPECT_EQ(cause.current(), "wrong password");

    cause.note_success(t0);
    cause.note(all_brokers_down, "all down");
    EXPECT_EQ(cause.current(), "all down");
}

TEST(FailureCause, ARefusalIsToldAsItIsUnlessItMayHaveBeenWritten) {
    const auto refused = FailureCause::refused(send, 10, true);
    const auto unknown = FailureCause::refused(send, 20, false);

    EXPECT_EQ(refused, KafkaErrc::message_too_large);
    EXPECT_EQ(unknown, Errc::send_outcome_unknown);
    EXPECT_EQ(*unknown.inner(), ErrorType::service_unavailable);
}

TEST(FailureCause, WhatMakesTheClientBeginAnewIsWorthAnotherTry) {
    const auto refused = FailureCause::refused(send, 47, true);

    EXPECT_EQ(refused, ErrorType::service_unavailable);
    EXPECT_EQ(*refused.inner(), ErrorType::fatal);
}

TEST(FailureCause, ARefusalOfARecordThatComesAgainBlamesNoRecord) {
    const auto damaged = FailureCause::refused(send, 2, true, true);
    const auto throttled = FailureCause::refused(send, 89, true, true);

    EXPECT_EQ(damaged, ErrorType::service_unavailable);
    EXPECT_FALSE(damaged.blames_record());
    EXPECT_EQ(*damaged.inner(), KafkaErrc{2});
    EXPECT_EQ(throttled, KafkaErrc{89});
}

} // namespace
} // namespace velostream::kafka
