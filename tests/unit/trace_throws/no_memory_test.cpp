// SPDX-License-Identifier: Apache-2.0
// Throws where there is no memory to remember them. Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>

#include "support/counting_new.hpp"
#include "velostream/base/error.hpp"

namespace velostream {
namespace {

TEST(TraceThrows, WithoutMemoryAThrowIsNotRememberedAndGoesOn) {
    Error error;
    int without_place = 0;
    const auto attempt = [&error] {
        try {
            throw std::runtime_error{"short of memory"};
        } catch (...) {
            error = Error::from_exception(std::current_exception());
        }
    };
    const auto check = [&] {
        EXPECT_TRUE(error == Errc::operation_failed || error == ErrorType::resource_exhausted) << error;
        without_place += error.thrown_at().empty() ? 1 : 0;
    };

    const auto failures = testing::with_each_request_failing(attempt, check);

    EXPECT_GE(failures, 3) << "what() and two for the place";
    EXPECT_GE(without_place, 1);
    EXPECT_FALSE(error.thrown_at().empty()) << "nothing failed in the last";
}

} // namespace
} // namespace velostream

#endif
