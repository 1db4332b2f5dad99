// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/error.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "velostream/base/error.hpp"

namespace velostream::postgres {
namespace {

const std::map<ErrorType, std::vector<std::string>> types{
    {ErrorType::network, {"08000", "08001", "08003", "08004", "08006"}},
    {ErrorType::timeout, {"57014"}},
    {ErrorType::service_unavailable,
     {"25006", "25P03", "25P04", "40000", "40001", "40P01", "55006", "55P03", "57P01", "57P02", "57P03", "57P05",
      "58000", "58030", "72000", "HV000"}},
    {ErrorType::authentication, {"28000", "28P01"}},
    {ErrorType::authorization, {"42501"}},
    {ErrorType::bad_request,
     {"20000", "21000", "22001", "22003", "22012", "22P02", "23502", "23503", "23505", "23514", "23P01", "40002",
      "44000", "54000", "P0001"}},
    {ErrorType::resource_exhausted, {"53000", "53100", "53200", "53300"}},
    {ErrorType::fatal,
     {"08P01", "0A000", "25001", "25P02", "26000", "3D000", "3F000", "42601", "42703", "42P01", "55000", "57P04",
      "F0000", "XX000", "XX001"}},
    {ErrorType::outcome_unknown, {"08007", "40003"}},
    {ErrorType::unknown, {"U0001", "99999", "ZZZZZ", "5A000"}},
};

TEST(SqlStateError, EveryCodeOfTheTableHasItsType) {
    for (const auto& [type, states] : types)
        for (const auto& state : states) EXPECT_EQ(classify(make_error_code(*sql_state(state))), type) << state;
}

TEST(SqlStateError, OnlyWhatValuesOrApplicationsCauseBlamesTheRecord) {
    for (const auto& [type, states] : types)
        for (const auto& state : states) {
            const bool may_blame = type == ErrorType::bad_request || type == ErrorType::unknown;
            EXPECT_EQ(Error{*sql_state(state)}.blames_record(), may_blame) << state;
        }
}

TEST(SqlStateError, WhatAnotherTryOfTheTransactionCuresPassesWithTime) {
    for (const auto state : {SqlState::serialization_failure, SqlState::deadlock_detected, SqlState::admin_shutdown,
                             SqlState::crash_shutdown, SqlState::cannot_connect_now, SqlState::lock_not_available,
                             SqlState::read_only_sql_transaction, SqlState::too_many_connections})
        EXPECT_TRUE(Error{state}.passes_with_time()) << to_string(state);
    for (const auto state : {SqlState::unique_violation, SqlState::syntax_error, SqlState::invalid_password,
                             SqlState::insufficient_privilege})
        EXPECT_FALSE(Error{state}.passes_with_time()) << to_string(state);
}

TEST(SqlStateError, ItsFiveCharactersAreKept) {
    for (const auto& [type, states] : types)
        for (const auto& state : states) EXPECT_EQ(to_string(*sql_state(state)), state);
    for (const auto* text : {"", "2350", "235055", "2350x", "23 05", "23-05"}) EXPECT_FALSE(sql_state(text)) << text;
    EXPECT_FALSE(make_error_code(*sql_state("00000"))) << "success";
}

TEST(SqlStateError, ComparesWithItsNameAndSaysIt) {
    const Error error{SqlState::serialization_failure};
    EXPECT_EQ(error, SqlState::serialization_failure);
    EXPECT_FALSE(error == SqlState::deadlock_detected);
    EXPECT_EQ(error.message(), "SQLSTATE 40001 (serialization failure)");
    EXPECT_EQ(Error{*sql_state("22P02")}.message(), "SQLSTATE 22P02");
}

TEST(PostgresError, EachHasItsType) {
    const std::map<PostgresErrc, ErrorType> expected{
        {PostgresErrc::server_unreachable, ErrorType::network},
        {PostgresErrc::connection_lost, ErrorType::network},
        {PostgresErrc::outcome_unknown, ErrorType::outcome_unknown},
        {PostgresErrc::authentication_failed, ErrorType::authentication},
        {PostgresErrc::session_in_use, ErrorType::fatal},
        {PostgresErrc::pipeline_aborted, ErrorType::cancelled},
        {PostgresErrc::statement_outdated, ErrorType::service_unavailable},
        {PostgresErrc::not_supported, ErrorType::fatal},
        {PostgresErrc::invalid_parameter, ErrorType::bad_request},
        {PostgresErrc::no_such_column, ErrorType::fatal},
        {PostgresErrc::null_value, ErrorType::bad_request},
        {PostgresErrc::wrong_type, ErrorType::fatal},
        {PostgresErrc::out_of_range, ErrorType::bad_request},
    };
    for (const auto& [code, type] : expected) {
        EXPECT_EQ(Error{code}.type(), type) << make_error_code(code).message();
        EXPECT_NE(make_error_code(code).message(), "unknown code");
    }
}

} // namespace
} // namespace velostream::postgres
