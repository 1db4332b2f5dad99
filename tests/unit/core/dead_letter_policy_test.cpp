// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "velostream/core/dead_letter_envelope.hpp"

namespace velostream::dead_letter_policy_test {
namespace {

boost::system::error_code errno_code(boost::system::errc::errc_t value) {
    return boost::system::errc::make_error_code(value);
}

struct Case {
    const char* name;
    Error error;
    bool blames;     // taken by record_faults_only
    bool of_attempt; // taken by failed_attempts
};

const std::vector<Case>& cases() {
    namespace errc = boost::system::errc;
    static const std::vector<Case> all{
        {"a bad record", errno_code(errc::invalid_argument), true, true},
        {"a user's exception", Errc::operation_failed, true, true},
        {"a refused group", Errc::group_refused, true, true},
        {"marked by the user", Error{Errc::circuit_open}.blaming_record(true), true, true},
        {"a broken connection", errno_code(errc::connection_reset), false, true},
        {"a timeout", Errc::send_timeout, false, true},
        {"an unknown outcome", Errc::send_outcome_unknown, false, true},
        {"a spent deadline", Errc::deadline_exceeded, false, true},
        {"a failed connect", Errc::connect_failed, false, true},
        {"a full disk", errno_code(errc::no_space_on_device), false, true},
        {"exhausted retries of a network error",
         Error{Errc::retries_exhausted}.with_inner(errno_code(errc::connection_reset)), false, true},
        {"exhausted retries of a bad record",
         Error{Errc::retries_exhausted}.with_inner(errno_code(errc::invalid_argument)), true, true},
        {"exhausted retries of an open circuit", Error{Errc::retries_exhausted}.with_inner(Errc::circuit_open), false,
         false},
        {"a connect that failed because it was cancelled", Error{Errc::connect_failed}.with_inner(Errc::cancelled),
         false, true},
        {"an open circuit", Errc::circuit_open, false, false},
        {"an open circuit and the error that opened it",
         Error{Errc::circuit_open}.with_inner(errno_code(errc::connection_reset)), false, false},
        {"a full bulkhead", Errc::bulkhead_full, false, false},
        {"a rate limit", Errc::rate_limited, false, false},
        {"a pool without connections", Errc::pool_timeout, false, false},
        {"a full pool", Errc::pool_exhausted, false, false},
        {"a closed pool", Errc::pool_closed, false, false},
        {"a memory refusal", Errc::memory_limit_exceeded, false, false},
        {"a refused query", Errc::admission_refused, false, false},
        {"a full window", Errc::window_buffer_full, false, false},
        {"cancellation", Errc::cancelled, false, false},
        {"a cancelled system call", errno_code(errc::operation_canceled), false, false},
        {"a refusal of ours passed on", Errc::record_not_to_blame, false, false},
        {"want of memory", Error::from_exception(std::make_exception_ptr(std::bad_alloc{})), false, false},
    };
    return all;
}

TEST(DeadLetterPolicy, FailedAttemptsTakesEveryErrorOfAnAttemptAndNoRefusal) {
    for (const auto& [name, error, blames, of_attempt] : cases())
        EXPECT_EQ(takes(DeadLetterPolicy::failed_attempts, error), of_attempt) << name;
}

TEST(DeadLetterPolicy, RecordFaultsOnlyTakesWhatBlamesTheRecord) {
    for (const auto& [name, error, blames, of_attempt] : cases())
        EXPECT_EQ(takes(DeadLetterPolicy::record_faults_only, error), blames) << name;
}

TEST(DeadLetterPolicy, EverythingTakesWhateverComes) {
    for (const auto& [name, error, blames, of_attempt] : cases())
        EXPECT_TRUE(takes(DeadLetterPolicy::everything, error)) << name;
}

// Codes that say authentication or authorization come from other libraries; a category of the user's own stands in.
class AccessCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "access"; }
    std::string message(int) const override { return "no access"; }
    bool equivalent(int value, const boost::system::error_condition& condition) const noexcept override {
        return condition == make_error_condition(value == 1 ? ErrorType::authentication : ErrorType::authorization);
    }
};

TEST(DeadLetterPolicy, FailedAttemptsRefusesAuthenticationAndAuthorization) {
    static const AccessCategory category;

    EXPECT_FALSE(takes(DeadLetterPolicy::failed_attempts, boost::system::error_code{1, category}));
    EXPECT_FALSE(takes(DeadLetterPolicy::failed_attempts, boost::system::error_code{2, category}));
}

} // namespace
} // namespace velostream::dead_letter_policy_test
