// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/error.hpp"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>

#include "velostream/base/result.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

enum class UserErrc { disk_gone = 1, typing_mistake, something_else };

struct UserCategory : boost::system::error_category {
    const char* name() const noexcept override { return "user"; }
    std::string message(int) const override { return "user's own"; }
    boost::system::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<UserErrc>(value)) {
            case UserErrc::disk_gone:
                return ErrorType::service_unavailable;
            case UserErrc::typing_mistake:
                return ErrorType::bad_request;
            default:
                return {value, *this};
        }
    }
};

boost::system::error_code make_error_code(UserErrc code) {
    static const UserCategory category;
    return {static_cast<int>(code), category};
}

TEST(ErrorType, CodesOfErrnoAsioAndThisLibraryAreClassified) {
    using boost::system::errc::make_error_code;
    EXPECT_EQ(classify(make_error_code(boost::system::errc::connection_refused)), ErrorType::network);
    EXPECT_EQ(classify(make_error_code(boost::system::errc::timed_out)), ErrorType::timeout);
    EXPECT_EQ(classify(make_error_code(boost::system::errc::permission_denied)), ErrorType::authorization);
    EXPECT_EQ(classify(make_error_code(boost::system::errc::no_space_on_device)), ErrorType::resource_exhausted);
    EXPECT_EQ(classify(asio::error::make_error_code(asio::error::eof)), ErrorType::network);
    EXPECT_EQ(classify(asio::error::make_error_code(asio::error::host_not_found)), ErrorType::network);
    EXPECT_EQ(classify(asio::error::make_error_code(asio::error::operation_aborted)), ErrorType::cancelled);
    EXPECT_EQ(classify(velostream::make_error_code(Errc::send_timeout)), ErrorType::timeout);
}

TEST(ErrorType, RefusalsByThisProcessAreResourceExhaustedAndNeverServiceUnavailable) {
    for (const auto code : {Errc::circuit_open, Errc::bulkhead_full, Errc::rate_limited, Errc::memory_limit_exceeded,
                            Errc::pool_exhausted, Errc::pool_timeout, Errc::admission_refused, Errc::budget_exhausted})
        EXPECT_EQ(classify(make_error_code(code)), ErrorType::resource_exhausted) << Error{code};
}

TEST(ErrorType, AUsersCategoryJoinsInThroughItsDefaultCondition) {
    EXPECT_EQ(classify(make_error_code(UserErrc::disk_gone)), ErrorType::service_unavailable);
    EXPECT_TRUE(make_error_code(UserErrc::disk_gone) == ErrorType::service_unavailable);
    EXPECT_FALSE(make_error_code(UserErrc::disk_gone) == ErrorType::network);
    EXPECT_EQ(classify(make_error_code(UserErrc::something_else)), ErrorType::unknown);
}

TEST(ErrorType, SuccessBelongsToNoType) {
    EXPECT_FALSE(boost::system::error_code{} == ErrorType::unknown);
    EXPECT_FALSE(boost::system::error_code{} == ErrorType::network);
}

TEST(Error, ComparesWithCodesConditionsAndTheBreakersTwoWords) {
    const Error open = Errc::circuit_open;
    const Error failed = Errc::operation_failed;

    EXPECT_TRUE(open == Errc::circuit_open);
    EXPECT_TRUE(open == CircuitBreakerError::open);
    EXPECT_FALSE(open == CircuitBreakerError::operation_failed);
    EXPECT_TRUE(open == ErrorType::resource_exhausted);
    EXPECT_TRUE(failed == CircuitBreakerError::operation_failed);
    EXPECT_FALSE(failed == CircuitBreakerError::open);
    EXPECT_FALSE(Error{} == CircuitBreakerError::operation_failed);
}

TEST(Error, IsMadeFromAnyLibrarysOwnEnumerationOfCodes) {
    const Error error = asio::error::operation_aborted;

    EXPECT_EQ(error, asio::error::operation_aborted);
    EXPECT_EQ(error, ErrorType::cancelled);
}

TEST(Error, StdErrnoCodesClassifyAsBoosts) {
    const Error error = std::make_error_code(std::errc::connection_reset);
    EXPECT_EQ(error.type(), ErrorType::network);
    EXPECT_TRUE(error == boost::system::errc::make_error_code(boost::system::errc::connection_reset));
}

TEST(Error, BlamesTheRecordOnlyForFaultsOfTheRecord) {
    using boost::system::errc::make_error_code;
    EXPECT_TRUE(Error{make_error_code(boost::system::errc::invalid_argument)}.blames_record());
    EXPECT_TRUE(Error{Errc::operation_failed}.blames_record());
    EXPECT_TRUE(Error{Errc::group_refused}.blames_record());
    for (const auto code : {Errc::circuit_open, Errc::memory_limit_exceeded, Errc::bulkhead_full, Errc::send_timeout,
                            Errc::send_outcome_unknown, Errc::cancelled, Errc::pool_timeout, Errc::connect_failed,
                            Errc::invalid_configuration, Errc::record_not_to_blame})
        EXPECT_FALSE(Error{code}.blames_record()) << Error{code};
    EXPECT_FALSE(Error{make_error_code(boost::system::errc::permission_denied)}.blames_record());
}

TEST(Error, AUsersMarkOverrulesTheBlame) {
    EXPECT_TRUE(Error{Errc::send_timeout}.blaming_record(true).blames_record());
    EXPECT_FALSE(Error{Errc::operation_failed}.blaming_record(false).blames_record());
}

TEST(Error, ExhaustedRetriesAnswerAsTheirLastError) {
    const auto exhausted = Error{Errc::retries_exhausted}.with_inner(Error{Errc::send_timeout}).with_attempts(4);

    EXPECT_EQ(exhausted.type(), ErrorType::timeout);
    EXPECT_TRUE(exhausted == ErrorType::timeout);
    EXPECT_TRUE(exhausted == Errc::retries_exhausted);
    EXPECT_FALSE(exhausted.blames_record());
    EXPECT_EQ(exhausted.attempts(), 4U);
    ASSERT_NE(exhausted.inner(), nullptr);
    EXPECT_TRUE(*exhausted.inner() == Errc::send_timeout);
}

TEST(Error, CopiesShareTextsAndChangesDoNotReachThem) {
    const Error original{Errc::send_timeout, "topic orders"};
    const auto changed = original.with_detail("topic totals").with_retry_after(5s);

    EXPECT_EQ(original.detail(), "topic orders");
    EXPECT_EQ(changed.detail(), "topic totals");
    EXPECT_EQ(original.retry_after(), std::nullopt);
    EXPECT_EQ(changed.retry_after(), 5s);
}

TEST(Error, MessageNamesCodeDetailAndTheErrorBehind) {
    const auto error =
        Error{Errc::retries_exhausted, "after 4 attempts"}.with_inner({Errc::send_timeout, "topic orders"});
    std::ostringstream out;
    out << error;
    EXPECT_EQ(out.str(), "retries exhausted: after 4 attempts (send timed out: topic orders)");
}

TEST(Error, AThrownExceptionKeepsItsCodeAndItsType) {
    const auto code = asio::error::make_error_code(asio::error::connection_refused);
    const auto from_boost = Error::from_exception(std::make_exception_ptr(boost::system::system_error{code}));
    EXPECT_EQ(from_boost.type(), ErrorType::network);
    EXPECT_THROW(std::rethrow_exception(from_boost.cause()), boost::system::system_error);

    const auto from_std = Error::from_exception(std::make_exception_ptr(std::out_of_range{"position 9"}));
    EXPECT_TRUE(from_std == Errc::operation_failed);
    EXPECT_EQ(from_std.detail(), "position 9");
    EXPECT_EQ(from_std.type(), ErrorType::unknown);

    EXPECT_TRUE(Error::from_exception(nullptr) == Errc::operation_failed);
    EXPECT_TRUE(Error::from_exception(std::make_exception_ptr(7)) == Errc::operation_failed);
}

TEST(Error, WantOfMemoryIsNotTheRecordsFault) {
    const auto error = Error::from_exception(std::make_exception_ptr(std::bad_alloc{}));
    EXPECT_EQ(error.code(), make_error_code(boost::system::errc::not_enough_memory));
    EXPECT_EQ(error.type(), ErrorType::resource_exhausted);
    EXPECT_FALSE(error.blames_record());
}

TEST(Result, ValueThrowsTheOriginalExceptionOrAnErrorException) {
    const Result<int> thrown = Error::from_exception(std::make_exception_ptr(std::out_of_range{"position 9"}));
    EXPECT_THROW(static_cast<void>(thrown.value()), std::out_of_range);

    const Result<int> refused = Error{Errc::circuit_open, "circuit 'orders'"};
    try {
        static_cast<void>(refused.value());
        FAIL() << "value() of an error returned";
    } catch (const ErrorException& exception) {
        EXPECT_TRUE(exception.error() == Errc::circuit_open);
        EXPECT_NE(std::string{exception.what()}.find("circuit 'orders'"), std::string::npos);
    }
}

TEST(Result, AnErrorExceptionThatIsThrownBecomesTheSameErrorAgain) {
    const Error refused{Errc::circuit_open, "circuit 'orders'"};
    const auto again = Error::from_exception(std::make_exception_ptr(ErrorException{refused}));
    EXPECT_TRUE(again == Errc::circuit_open);
    EXPECT_EQ(again.detail(), "circuit 'orders'");
}

} // namespace
} // namespace velostream
