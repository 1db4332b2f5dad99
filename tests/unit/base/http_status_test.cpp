// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/http_status.hpp"

#include <gtest/gtest.h>

#include <map>

#include "velostream/base/error.hpp"
#include "velostream/core/breaker_classifier.hpp"

namespace velostream {
namespace {

// What the docstring lists; all others follow from their hundred.
const std::map<int, ErrorType> named{{401, ErrorType::authentication},
                                     {402, ErrorType::authorization},
                                     {403, ErrorType::authorization},
                                     {407, ErrorType::authentication},
                                     {408, ErrorType::timeout},
                                     {421, ErrorType::network},
                                     {423, ErrorType::service_unavailable},
                                     {425, ErrorType::service_unavailable},
                                     {429, ErrorType::resource_exhausted},
                                     {451, ErrorType::authorization},
                                     {501, ErrorType::bad_request},
                                     {504, ErrorType::timeout},
                                     {505, ErrorType::bad_request},
                                     {506, ErrorType::bad_request},
                                     {509, ErrorType::resource_exhausted},
                                     {510, ErrorType::bad_request},
                                     {511, ErrorType::authentication}};

ErrorType expected(int status) {
    if (const auto found = named.find(status); found != named.end()) return found->second;
    if (status >= 400 && status < 500) return ErrorType::bad_request;
    if (status >= 500 && status < 600) return ErrorType::service_unavailable;
    return ErrorType::unknown;
}

TEST(HttpStatus, EachHasItsType) {
    for (int status = -1; status <= 1000; ++status)
        EXPECT_EQ(error_type_of_http_status(status), expected(status)) << status;
}

TEST(HttpStatus, ACodeOfItClassifiesAsTheStatus) {
    for (int status = -1; status <= 1000; ++status)
        EXPECT_EQ(Error{http_status_code(status)}.type(), expected(status)) << status;
    EXPECT_TRUE(http_status_code(503) == ErrorType::service_unavailable);
    EXPECT_FALSE(http_status_code(503) == ErrorType::timeout);
}

TEST(HttpStatus, ACodeOfItIsAFailureAndSaysItsNumber) {
    const Error error = http_status_code(503);

    EXPECT_TRUE(error.code().failed());
    EXPECT_TRUE(http_status_code(0).failed());
    EXPECT_EQ(error.message(), "HTTP status 503");
    EXPECT_NE(http_status_code(503), http_status_code(504));
}

TEST(HttpStatus, ARequestThatWasWrongBlamesTheRecordAndASickServiceDoesNot) {
    for (const int wrong : {400, 404, 409, 413, 415, 422, 501})
        EXPECT_TRUE(Error{http_status_code(wrong)}.blames_record()) << wrong;
    for (const int sick : {401, 403, 408, 421, 429, 500, 502, 503, 504})
        EXPECT_FALSE(Error{http_status_code(sick)}.blames_record()) << sick;
}

TEST(HttpStatus, ABreakerCountsWhatAsksForLessApart) {
    const CallClassifier classifier;

    EXPECT_EQ(classifier.classify(http_status_code(429)), CallOutcomeKind::throttled);
    EXPECT_EQ(classifier.classify(http_status_code(404)), CallOutcomeKind::ignored);
    EXPECT_EQ(classifier.classify(http_status_code(503)), CallOutcomeKind::failure);
    EXPECT_EQ(classifier.classify(http_status_code(408)), CallOutcomeKind::failure);
}

} // namespace
} // namespace velostream
