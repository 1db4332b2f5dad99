// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/error.hpp"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <initializer_list>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

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

TEST(ErrorType, EveryCodeOfABrokenConnectionIsOfTheNetwork) {
    for (const auto code : {asio::error::broken_pipe, asio::error::connection_aborted, asio::error::connection_refused,
                            asio::error::connection_reset, asio::error::host_unreachable, asio::error::network_down,
                            asio::error::network_reset, asio::error::network_unreachable, asio::error::not_connected,
                            asio::error::shut_down})
        EXPECT_EQ(Error{code}.type(), ErrorType::network) << Error{code};
}

TEST(ErrorType, EveryCodeOfErrnoThatSaysWhoIsToBlameIsClassified) {
    using namespace boost::system::errc;
    const auto expect = [](std::initializer_list<errc_t> codes, ErrorType type) {
        for (const auto code : codes) EXPECT_EQ(classify(make_error_code(code)), type) << code;
    };

    expect({timed_out, stream_timeout}, ErrorType::timeout);
    expect({resource_unavailable_try_again, device_or_resource_busy}, ErrorType::service_unavailable);
    expect({permission_denied, operation_not_permitted}, ErrorType::authorization);
    expect({invalid_argument, message_size, argument_out_of_domain, result_out_of_range, illegal_byte_sequence},
           ErrorType::bad_request);
    expect({not_enough_memory, no_space_on_device, too_many_files_open, too_many_files_open_in_system, no_buffer_space},
           ErrorType::resource_exhausted);
    expect({io_error, no_such_file_or_directory}, ErrorType::unknown);
}

// Asio's, whose library this floor does not include, is known by its name.
struct SslStream : boost::system::error_category {
    const char* name() const noexcept override { return "asio.ssl.stream"; }
    std::string message(int) const override { return "stream truncated"; }
};

TEST(ErrorType, AStreamThatWasCutOffIsOfTheNetwork) {
    const SslStream category;

    EXPECT_EQ(Error(boost::system::error_code{1, category}).type(), ErrorType::network);
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

// Their conditions are errno's.
struct UserErrno : boost::system::error_category {
    const char* name() const noexcept override { return "user errno"; }
    std::string message(int) const override { return "user's own"; }
    boost::system::error_condition default_error_condition(int value) const noexcept override {
        return {value, boost::system::generic_category()};
    }
};
struct UserStdErrno : std::error_category {
    const char* name() const noexcept override { return "user std errno"; }
    std::string message(int) const override { return "user's own"; }
    std::error_condition default_error_condition(int value) const noexcept override {
        return {value, std::generic_category()};
    }
};
struct UserStdType : std::error_category {
    const char* name() const noexcept override { return "user std type"; }
    std::string message(int) const override { return "user's own"; }
    std::error_condition default_error_condition(int value) const noexcept override {
        return make_error_condition(static_cast<ErrorType>(value));
    }
};

TEST(ErrorType, AUsersCategoryWhoseConditionsAreErrnosIsClassifiedAsThose) {
    const UserErrno of_boost;
    const UserStdErrno of_std;
    const auto expect = [&](boost::system::errc::errc_t condition, ErrorType type) {
        const boost::system::error_code boosts{condition, of_boost};
        const std::error_code stds{condition, of_std};
        EXPECT_EQ(Error{boosts}.type(), type);
        EXPECT_EQ(Error{stds}.type(), type);
        EXPECT_TRUE(boosts == type);
    };

    expect(boost::system::errc::connection_refused, ErrorType::network);
    expect(boost::system::errc::timed_out, ErrorType::timeout);
    expect(boost::system::errc::permission_denied, ErrorType::authorization);
    expect(boost::system::errc::operation_canceled, ErrorType::cancelled);
    expect(boost::system::errc::is_a_directory, ErrorType::unknown);
    EXPECT_FALSE(boost::system::error_code(boost::system::errc::timed_out, of_boost) == ErrorType::network);
}

TEST(ErrorType, AUsersStdCategoryJoinsInThroughItsDefaultCondition) {
    const UserStdType category;
    EXPECT_EQ(Error{std::error_code(static_cast<int>(ErrorType::authentication), category)}.type(),
              ErrorType::authentication);
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

TEST(Error, PassesWithTimeWhenAnOutageEndsOrALimitFindsRoom) {
    using boost::system::errc::make_error_code;
    for (const Error& error :
         {Error{make_error_code(boost::system::errc::connection_refused)}, Error{Errc::send_timeout},
          Error{make_error_code(UserErrc::disk_gone)}, Error{Errc::circuit_open}, Error{Errc::bulkhead_full},
          Error{Errc::memory_limit_exceeded}, Error{Errc::retries_exhausted}.with_inner(Errc::send_timeout)})
        EXPECT_TRUE(error.passes_with_time()) << error;
}

TEST(Error, DoesNotPassWithTimeWhereWaitingCuresNothing) {
    using boost::system::errc::make_error_code;
    for (const Error& error : {Error{make_error_code(boost::system::errc::permission_denied)},
                               Error{Errc::invalid_configuration}, Error{Errc::cancelled}, Error{Errc::producer_closed},
                               Error{Errc::retries_exhausted}.with_inner(Errc::producer_fenced)})
        EXPECT_FALSE(error.passes_with_time()) << error;
    for (const Error& error :
         {Error{Errc::send_outcome_unknown}, Error{Errc::deadline_exceeded}.with_inner(Errc::send_outcome_unknown),
          Error{Errc::retries_exhausted}.with_inner(
              Error{Errc::deadline_exceeded}.with_inner(Errc::send_outcome_unknown))})
        EXPECT_FALSE(error.passes_with_time()) << error << ": the same could be done twice";
}

TEST(Error, PassesWithRepetitionAlsoWhereItMayHaveHappened) {
    const auto cut_off = Error{Errc::deadline_exceeded}.with_inner(Errc::send_outcome_unknown);
    for (const Error& error : {Error{Errc::send_outcome_unknown}, cut_off, Error{Errc::send_timeout},
                               Error{Errc::circuit_open}, Error{Errc::retries_exhausted}.with_inner(cut_off)})
        EXPECT_TRUE(error.passes_with_repetition()) << error;
    for (const Error& error :
         {Error{Errc::cancelled}, Error{Errc::operation_failed}, Error{Errc::invalid_configuration},
          Error{Errc::cancelled}.with_inner(Errc::send_outcome_unknown), cut_off.blaming_record(true),
          Error{Errc::send_outcome_unknown}.blaming_record(true), Error{Errc::circuit_open}.blaming_record(true)})
        EXPECT_FALSE(error.passes_with_repetition()) << error;
}

TEST(Error, WhatBlamesTheRecordDoesNotPassWithTime) {
    for (const Error& error : {Error{make_error_code(UserErrc::typing_mistake)}, Error{Errc::operation_failed},
                               Error{Errc::group_refused}, Error{Errc::send_timeout}.blaming_record(true),
                               Error{Errc::retries_exhausted}.with_inner(Errc::operation_failed)})
        EXPECT_FALSE(error.passes_with_time()) << error;
    EXPECT_FALSE(Error{Errc::operation_failed}.blaming_record(false).passes_with_time()) << "nobody knows what it is";
}

TEST(Error, WhereNobodyTracesThrowsItDoesNotKnowWhere) {
    const auto exception = std::make_exception_ptr(std::runtime_error{"x"});
    try {
        std::rethrow_exception(exception);
    } catch (...) {
        EXPECT_TRUE(Error::from_exception(std::current_exception()).thrown_at().empty());
    }
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

TEST(Error, MessageSaysHowLongTheTriesTookInAReadableForm) {
    const auto text = [](Duration time) { return Error{Errc::send_timeout}.with_elapsed(time).message(); };
    EXPECT_EQ(text(0ns), "send timed out; under 1 ms");
    EXPECT_EQ(text(1ms - 1ns), "send timed out; under 1 ms");
    EXPECT_EQ(text(1ms), "send timed out; 1 ms");
    EXPECT_EQ(text(1s - 1ns), "send timed out; 999 ms");
    EXPECT_EQ(text(1s), "send timed out; 1.0 s");
    EXPECT_EQ(text(4799ms), "send timed out; 4.7 s");
    EXPECT_EQ(text(1min - 1ns), "send timed out; 59.9 s");
    EXPECT_EQ(text(200s), "send timed out; 3 min 20 s");
    EXPECT_EQ(text(1h), "send timed out; 1 h 0 min");
    EXPECT_EQ(text(125min), "send timed out; 2 h 5 min");

    const auto exhausted = Error{Errc::retries_exhausted}.with_inner(Error{Errc::send_timeout}).with_attempts(4);
    EXPECT_EQ(exhausted.elapsed(), std::nullopt);
    EXPECT_EQ(exhausted.message(), "retries exhausted (send timed out)");
    const auto known = exhausted.with_elapsed(4700ms);
    EXPECT_EQ(known.elapsed(), 4700ms);
    EXPECT_FALSE(known.elapsed_longer());
    EXPECT_EQ(known.message(), "retries exhausted (send timed out); 4 tries in 4.7 s");
    EXPECT_EQ(known.with_attempts(1).message(), "retries exhausted (send timed out); 1 try in 4.7 s");
    const auto longer = Error{exhausted}.with_elapsed_longer_than(4700ms);
    EXPECT_EQ(longer.elapsed(), 4700ms);
    EXPECT_TRUE(longer.elapsed_longer());
    EXPECT_EQ(longer.message(), "retries exhausted (send timed out); 4 tries in more than 4.7 s");
    EXPECT_EQ(longer.with_elapsed(std::nullopt).elapsed(), std::nullopt);
}

TEST(Error, SaysWhichLimitRefusedAnotherTryAndStaysWhatItIs) {
    const Error original{Errc::send_timeout, "topic orders"};
    const auto refused = original.with_attempts(2).with_retry_refused_by(Errc::budget_exhausted);

    EXPECT_EQ(original.retry_refused_by(), std::nullopt);
    EXPECT_EQ(refused.retry_refused_by(), Errc::budget_exhausted);
    EXPECT_TRUE(refused == Errc::send_timeout);
    EXPECT_TRUE(refused == ErrorType::timeout);
    EXPECT_EQ(refused.attempts(), 2U);
    EXPECT_EQ(refused.message(), "send timed out: topic orders; not tried again: retry budget exhausted");
    EXPECT_EQ(refused.with_retry_refused_by(std::nullopt).message(), original.message());
}

TEST(Error, KnowsAnUnknownOutcomeHoweverDeepItIsInside) {
    const Error unknown = Errc::send_outcome_unknown;

    EXPECT_TRUE(unknown.has_unknown_outcome());
    EXPECT_TRUE(
        Error{Errc::deadline_exceeded}.with_inner(Error{Errc::cancelled}.with_inner(unknown)).has_unknown_outcome());
    EXPECT_FALSE(Error{Errc::deadline_exceeded}.with_inner(Error{Errc::cancelled}).has_unknown_outcome());
    EXPECT_FALSE(Error{}.has_unknown_outcome());
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

TEST(Result, ValueOfExhaustedRetriesThrowsTheExceptionOfTheLastTry) {
    const auto last = Error::from_exception(std::make_exception_ptr(std::out_of_range{"position 9"}));
    const auto exhausted = Error{Errc::retries_exhausted}.with_inner(last);
    const Result<int> once = exhausted;
    const Result<int> nested = Error{Errc::retries_exhausted}.with_inner(exhausted);
    const Result<int> of_another = Error{Errc::deadline_exceeded}.with_inner(last);
    const Result<int> of_a_code = Error{Errc::retries_exhausted}.with_inner(Error{Errc::send_timeout});

    EXPECT_THROW(static_cast<void>(once.value()), std::out_of_range);
    EXPECT_THROW(static_cast<void>(nested.value()), std::out_of_range);
    EXPECT_THROW(static_cast<void>(of_another.value()), ErrorException) << "the deadline ended it, not the exception";
    EXPECT_THROW(static_cast<void>(of_a_code.value()), ErrorException);
}

TEST(Result, AnErrorExceptionThatIsThrownBecomesTheSameErrorAgain) {
    const Error refused{Errc::circuit_open, "circuit 'orders'"};
    const auto again = Error::from_exception(std::make_exception_ptr(ErrorException{refused}));
    EXPECT_TRUE(again == Errc::circuit_open);
    EXPECT_EQ(again.detail(), "circuit 'orders'");
}

TEST(Result, AnErrorExceptionThatNestsAnotherKeepsItAsTheCause) {
    std::exception_ptr thrown;
    try {
        throw std::out_of_range{"position 9"};
    } catch (...) {
        try {
            std::throw_with_nested(ErrorException{Errc::circuit_open});
        } catch (...) {
            thrown = std::current_exception();
        }
    }

    const auto error = Error::from_exception(thrown);

    EXPECT_TRUE(error == Errc::circuit_open);
    EXPECT_EQ(error.cause(), thrown);
}

} // namespace
} // namespace velostream
