// SPDX-License-Identifier: Apache-2.0
#include "passing_error.hpp"

#include <gtest/gtest.h>

#include "order_line.hpp"
#include "velostream/base/errc.hpp"
#include "velostream/kafka/error.hpp"

namespace orders {
namespace {

using velostream::Errc;
using velostream::Error;
using velostream::kafka::KafkaErrc;

TEST(WorthWaitingFor, WhatAnOutageOrAFullLimitSays) {
    constexpr KafkaErrc transport{-195}, leader_not_available{5};
    for (const Error& error :
         {Error{transport}, Error{leader_not_available}, Error{Errc::broker_unreachable}, Error{Errc::send_timeout},
          Error{Errc::send_outcome_unknown}, Error{Errc::circuit_open}, Error{Errc::memory_limit_exceeded},
          Error{Errc::deadline_exceeded}.with_inner(Errc::send_outcome_unknown),
          Error{Errc::retries_exhausted}.with_inner(Errc::send_timeout)})
        EXPECT_TRUE(worth_waiting_for(error)) << error.message();
}

TEST(WorthWaitingFor, NothingThatWaitingDoesNotCure) {
    constexpr KafkaErrc fatal{-150}, wrong_password{58}, no_rights{29}, too_large{10};
    for (const Error& error :
         {Error{fatal}, Error{wrong_password}, Error{no_rights}, Error{too_large}, Error{Errc::cancelled},
          Error{Errc::operation_failed}, Error{make_error_code(OrderFault::line)},
          Error{Errc::memory_limit_exceeded}.blaming_record(true),
          Error{Errc::send_outcome_unknown}.blaming_record(true),
          Error{Errc::retries_exhausted}.with_inner(Error{fatal})})
        EXPECT_FALSE(worth_waiting_for(error)) << error.message();
}

} // namespace
} // namespace orders
