// SPDX-License-Identifier: Apache-2.0
// Operations that throw where there is no memory to keep what they threw. Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <stdexcept>
#include <string>

#include "support/allocation_count.hpp"
#include "velostream/async/timed_operation.hpp"
#include "velostream/base/error.hpp"

namespace velostream {
namespace {

using testing::with_each_request_failing;

const std::string long_text = "a text that is too long to be kept in the string itself";

// The error of `thrown`: with its text and its cause, or without them, but always with its code.
void keeps_its_code(const std::exception_ptr& thrown, const boost::system::error_code& code) {
    Error error;
    const auto failures = with_each_request_failing([&] { error = Error::from_exception(thrown); },
                                                    [&] { EXPECT_EQ(error.code(), code); });

    EXPECT_GE(failures, 1);
    EXPECT_EQ(error.cause(), thrown) << "with memory for it";
}

TEST(ThrownWithoutMemory, AnExceptionOfAnyTypeIsStillAFailedOperation) {
    keeps_its_code(std::make_exception_ptr(std::runtime_error{long_text}), make_error_code(Errc::operation_failed));
    keeps_its_code(std::make_exception_ptr(7), make_error_code(Errc::operation_failed));
}

TEST(ThrownWithoutMemory, ACodeIsKept) {
    const boost::system::error_code refused = boost::asio::error::connection_refused;

    keeps_its_code(std::make_exception_ptr(boost::system::system_error{refused, long_text}), refused);
    keeps_its_code(std::make_exception_ptr(std::system_error{std::make_error_code(std::errc::timed_out), long_text}),
                   make_error_code(boost::system::errc::timed_out));
}

TEST(ThrownWithoutMemory, WhatADeadlineCutOffSaysThatItMayHaveHappened) {
    const Error own{Errc::send_outcome_unknown, long_text};
    Error cut_off;

    const auto failures = with_each_request_failing([&] { cut_off = detail::cut_off_with(own); },
                                                    [&] { EXPECT_TRUE(cut_off.has_unknown_outcome()); });

    EXPECT_GE(failures, 1);
    EXPECT_EQ(cut_off, Errc::deadline_exceeded) << "with memory for it";
}

TEST(ThrownWithoutMemory, AnErrorThatHidesAnotherExceptionIsKept) {
    std::exception_ptr thrown;
    try {
        try {
            throw std::runtime_error{long_text};
        } catch (...) {
            std::throw_with_nested(ErrorException{Errc::circuit_open});
        }
    } catch (...) {
        thrown = std::current_exception();
    }

    keeps_its_code(thrown, make_error_code(Errc::circuit_open));
}

} // namespace
} // namespace velostream

#endif
