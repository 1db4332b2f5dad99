// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/retry_decision.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace velostream {
namespace {

using namespace std::chrono_literals;

struct RetryableCase {
    const char* name;
    RetryConfig config;
    Error error;
    bool idempotent;
    bool expected;
};

class RetryableTable : public ::testing::TestWithParam<RetryableCase> {};

TEST_P(RetryableTable, SaysWhetherAnotherTryMayHelp) {
    const auto& [name, config, error, idempotent, expected] = GetParam();
    EXPECT_EQ(RetryPolicy{config}.is_retryable(error, idempotent), expected);
}

const Error network = Errc::connect_failed;
const Error timeout = Errc::send_timeout;
const Error unavailable = boost::system::errc::make_error_code(boost::system::errc::device_or_resource_busy);
const Error bad_request = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
const Error no_permission = boost::system::errc::make_error_code(boost::system::errc::permission_denied);
const Error cancelled = boost::system::errc::make_error_code(boost::system::errc::operation_canceled);
const Error maybe_sent = Errc::send_outcome_unknown;
const Error cut_off = Error{Errc::deadline_exceeded}.with_inner(maybe_sent);
const Error cut_off_send = Error{Errc::deadline_exceeded}.with_inner(Error{Errc::cancelled}.with_inner(maybe_sent));
const Error cut_off_network = Error{Errc::deadline_exceeded}.with_inner(network);
const RetryConfig only_fatal{.retry_on = {ErrorType::fatal}};
const RetryConfig no_timeout{.no_retry_on = {ErrorType::timeout}};
const RetryConfig both{.retry_on = {ErrorType::network, ErrorType::timeout}, .no_retry_on = {ErrorType::network}};
const RetryConfig refusals{.retry_on = {ErrorType::resource_exhausted}};
const RetryConfig outcomes{.retry_on = {ErrorType::outcome_unknown}};
const RetryConfig no_outcomes{.no_retry_on = {ErrorType::outcome_unknown}};

INSTANTIATE_TEST_SUITE_P(
    Errors, RetryableTable,
    ::testing::Values(RetryableCase{"NetworkByDefault", {}, network, false, true},
                      RetryableCase{"TimeoutByDefault", {}, timeout, false, true},
                      RetryableCase{"UnavailableByDefault", {}, unavailable, false, true},
                      RetryableCase{"NoBadRequest", {}, bad_request, false, false},
                      RetryableCase{"NoAuthorization", {}, no_permission, false, false},
                      RetryableCase{"NoUserException", {}, Errc::operation_failed, false, false},
                      RetryableCase{"NoFatal", {}, Errc::invalid_configuration, false, false},
                      RetryableCase{"NoCancellation", {}, cancelled, true, false},
                      RetryableCase{"NoOpenCircuit", {}, Errc::circuit_open, true, false},
                      RetryableCase{"NoFullBulkhead", {}, Errc::bulkhead_full, true, false},
                      RetryableCase{"NoEmptyBudget", {}, Errc::budget_exhausted, true, false},
                      RetryableCase{"NoMemoryRefusal", {}, Errc::memory_limit_exceeded, true, false},
                      RetryableCase{"RefusalsIfListed", refusals, Errc::circuit_open, false, true},
                      RetryableCase{"AnAllowListIsTheWholeList", only_fatal, network, false, false},
                      RetryableCase{"AnAllowListAllows", only_fatal, Errc::invalid_configuration, false, true},
                      RetryableCase{"ADenyListAloneLeavesTheDefaults", no_timeout, network, false, true},
                      RetryableCase{"ADenyListDenies", no_timeout, timeout, false, false},
                      RetryableCase{"TheDenyListWins", both, network, false, false},
                      RetryableCase{"TheDenyListLeavesTheRest", both, timeout, false, true},
                      RetryableCase{"NoUnknownOutcomeWithoutTheMark", {}, maybe_sent, false, false},
                      RetryableCase{"UnknownOutcomeWithTheMark", {}, maybe_sent, true, true},
                      RetryableCase{"UnknownOutcomeNotWithoutTheMarkEvenIfListed", outcomes, maybe_sent, false, false},
                      RetryableCase{"UnknownOutcomeIfListedAndMarked", outcomes, maybe_sent, true, true},
                      RetryableCase{"UnknownOutcomeOnlyWhereTimeoutIsRetried", no_timeout, maybe_sent, true, false},
                      RetryableCase{"UnknownOutcomeDenied", no_outcomes, maybe_sent, true, false},
                      RetryableCase{"ACutOffOfUnknownOutcomeNotWithoutTheMark", {}, cut_off, false, false},
                      RetryableCase{"HoweverDeepItIsInside", {}, cut_off_send, false, false},
                      RetryableCase{"ACutOffOfUnknownOutcomeWithTheMark", {}, cut_off, true, true},
                      RetryableCase{"HoweverDeepItIsInsideWithTheMark", {}, cut_off_send, true, true},
                      RetryableCase{"ACutOffOfUnknownOutcomeDenied", no_outcomes, cut_off, true, false},
                      RetryableCase{"ACutOffOfAnotherError", {}, cut_off_network, false, true},
                      RetryableCase{"ExhaustedRetriesAsTheirLastError",
                                    {},
                                    Error{Errc::retries_exhausted}.with_inner(bad_request),
                                    false,
                                    false}),
    [](const auto& test) { return test.param.name; });

TEST(RetryPolicy, AllowsTheConfiguredNumberOfExtraTries) {
    const RetryPolicy policy{{.max_retries = 3}};

    for (std::uint32_t attempts = 1; attempts <= 3; ++attempts)
        EXPECT_EQ(policy.decide(network, {.attempts = attempts}, 0).choice, RetryChoice::again);
    EXPECT_EQ(policy.decide(network, {.attempts = 4}, 0).choice, RetryChoice::exhausted);
}

TEST(RetryPolicy, NoRetriesMeansOneCall) {
    EXPECT_EQ(RetryPolicy{{.max_retries = 0}}.decide(network, {.attempts = 1}, 0).choice, RetryChoice::exhausted);
}

TEST(RetryPolicy, AnErrorThatIsNotRetryableIsNotExhaustion) {
    EXPECT_EQ(RetryPolicy{{.max_retries = 0}}.decide(bad_request, {.attempts = 1}, 0).choice,
              RetryChoice::not_retryable);
}

TEST(RetryPolicy, WaitsAsTheScheduleSays) {
    const RetryPolicy policy{{}};
    const Duration expected[] = {100ms, 200ms, 400ms};
    for (std::uint32_t attempts = 1; attempts <= 3; ++attempts)
        EXPECT_EQ(policy.decide(network, {.attempts = attempts}, 0).delay, expected[attempts - 1]);
}

TEST(RetryPolicy, RetryAfterIsALowerBound) {
    const RetryPolicy policy{{}};

    EXPECT_EQ(policy.decide(network.with_retry_after(5s), {.attempts = 1}, 0).delay, 5s);
    EXPECT_EQ(policy.decide(network.with_retry_after(1ms), {.attempts = 1}, 0).delay, 100ms);
    EXPECT_EQ(policy.decide(network.with_retry_after(60s), {.attempts = 1}, 0).delay, 60s)
        << "the cap is the schedule's";
}

TEST(RetryPolicy, RetryAfterIsNeverUndercutByJitter) {
    const RetryPolicy policy{{.jitter = Jitter::full}};
    for (const std::uint64_t random : {0ULL, 1ULL << 63, ~0ULL})
        EXPECT_GE(policy.decide(network.with_retry_after(70ms), {.attempts = 1}, random).delay, 70ms);
}

TEST(RetryPolicy, DoesNotSleepPastTheDeadline) {
    const RetryPolicy policy{{}};

    EXPECT_EQ(policy.decide(network, {.attempts = 1, .remaining = 100ms}, 0).choice, RetryChoice::no_time);
    EXPECT_EQ(policy.decide(network, {.attempts = 1, .remaining = 100ms + 1ns}, 0).choice, RetryChoice::again);
    EXPECT_EQ(policy.decide(network.with_retry_after(1s), {.attempts = 1, .remaining = 500ms}, 0).choice,
              RetryChoice::no_time);
    EXPECT_EQ(policy.decide(network, {.attempts = 1, .remaining = -1s}, 0).choice, RetryChoice::no_time);
}

TEST(RetryPolicy, DecidesForAnyNumberOfAttempts) {
    const RetryPolicy policy{{.max_retries = ~0U}};

    EXPECT_EQ(policy.decide(network, {.attempts = ~0U - 1}, 0).delay, 30s);
    EXPECT_EQ(policy.decide(network, {.attempts = ~0U}, 0).choice, RetryChoice::exhausted) << "there is no try 2^32";
    EXPECT_EQ(policy.decide(network, {.attempts = 0}, 0).delay, 100ms);
}

TEST(RetryPolicy, AnyRetryAfterIsLegal) {
    const RetryPolicy policy{{}};

    for (const auto wait : {Duration{-1s}, Duration::zero(), Duration::min() + 1ns})
        EXPECT_EQ(policy.decide(network.with_retry_after(wait), {.attempts = 1}, 0).delay, 100ms);
    const auto forever = policy.decide(network.with_retry_after(Duration::max()), {.attempts = 1}, 0);
    EXPECT_EQ(forever.choice, RetryChoice::no_time) << "no call lasts that long";
}

TEST(RetryPolicy, ThereIsNoTimeForATryAfterADelayThatNeverEnds) {
    for (const BackoffStrategy& endless :
         {BackoffStrategy{FixedInterval{Duration::max()}}, BackoffStrategy{LinearBackoff{Duration::max(), 1ns}}})
        EXPECT_EQ((RetryPolicy{{.backoff_strategy = endless}}.decide(network, {.attempts = 1}, 0).choice),
                  RetryChoice::no_time);
    const RetryPolicy longest{{.backoff_strategy = FixedInterval{Duration::max() - 1ns}}};
    EXPECT_EQ(longest.decide(network, {.attempts = 1}, 0).choice, RetryChoice::again);
}

// The order of the rules.

std::optional<bool> yes(const Error&) {
    return true;
}
std::optional<bool> no(const Error&) {
    return false;
}
std::optional<bool> no_answer(const Error&) {
    return std::nullopt;
}

TEST(RetryPolicy, APredicateDecidesInsteadOfTheListWhereItHasAnAnswer) {
    EXPECT_TRUE((RetryPolicy{{}, yes}.is_retryable(bad_request, false)));
    EXPECT_FALSE((RetryPolicy{{}, no}.is_retryable(network, false)));
    EXPECT_TRUE((RetryPolicy{{}, no_answer}.is_retryable(network, false)));
    EXPECT_FALSE((RetryPolicy{{}, no_answer}.is_retryable(bad_request, false)));
    EXPECT_TRUE((RetryPolicy{only_fatal, yes}.is_retryable(network, false)));
}

TEST(RetryPolicy, NoRetryOnWinsOverThePredicate) {
    EXPECT_FALSE((RetryPolicy{no_timeout, yes}.is_retryable(timeout, false)));
}

TEST(RetryPolicy, NoPredicateMakesAnUnmarkedOperationHappenTwice) {
    EXPECT_FALSE((RetryPolicy{{}, yes}.is_retryable(maybe_sent, false)));
    EXPECT_TRUE((RetryPolicy{{}, yes}.is_retryable(maybe_sent, true)));
    EXPECT_FALSE((RetryPolicy{{}, no}.is_retryable(maybe_sent, true)));
    EXPECT_TRUE((RetryPolicy{{}, no_answer}.is_retryable(maybe_sent, true)));
}

TEST(RetryPolicy, ThePredicateIsNotAskedAboutCancellation) {
    EXPECT_FALSE((RetryPolicy{{}, yes}.is_retryable(cancelled, true)));
}

TEST(RetryPolicy, WhatAnInnerRetryHadToGiveUpIsARefusalOfThisProcess) {
    for (const auto limit : {Errc::budget_exhausted, Errc::memory_limit_exceeded}) {
        const auto given_up = network.with_retry_refused_by(limit);
        EXPECT_FALSE(RetryPolicy{{}}.is_retryable(given_up, true));
        EXPECT_FALSE((RetryPolicy{{}, yes}.is_retryable(given_up, true)));
        EXPECT_TRUE(RetryPolicy{refusals}.is_retryable(given_up, true));
    }
    EXPECT_TRUE(RetryPolicy{{}}.is_retryable(network.with_retry_refused_by(Errc::deadline_exceeded), true))
        << "an inner deadline may leave time outside";
}

TEST(RetryPolicy, APredicateThatThrowsMeansNoRetry) {
    const RetryPolicy policy{{}, [](const Error&) -> bool { throw 1; }};

    EXPECT_EQ(policy.decide(network, {.attempts = 1}, 0).choice, RetryChoice::callback_threw);
}

TEST(RetryChoice, HasAWordForLogs) {
    EXPECT_EQ(to_string(RetryChoice::exhausted), "retries exhausted");
    EXPECT_EQ(to_string(RetryChoice::no_time), "no time before the deadline");
    EXPECT_EQ(to_string(RetryChoice::no_budget), "retry budget exhausted");
    EXPECT_EQ(to_string(RetryChoice::no_memory), "no memory to wait");
    EXPECT_EQ(to_string(RetryChoice::callback_threw), "a callback threw");
}

TEST(RetryChoice, NamesTheLimitThatRefused) {
    EXPECT_EQ(limit_of(RetryChoice::no_time), Errc::deadline_exceeded);
    EXPECT_EQ(limit_of(RetryChoice::no_budget), Errc::budget_exhausted);
    EXPECT_EQ(limit_of(RetryChoice::no_memory), Errc::memory_limit_exceeded);
    for (const auto other : {RetryChoice::again, RetryChoice::not_retryable, RetryChoice::exhausted})
        EXPECT_EQ(limit_of(other), std::nullopt);
}

} // namespace
} // namespace velostream
