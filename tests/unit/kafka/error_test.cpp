// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/error.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "velostream/base/error.hpp"

namespace velostream::kafka {
namespace {

boost::system::error_code code_of(int value) {
    return make_error_code(static_cast<KafkaErrc>(value));
}

TEST(KafkaError, EveryCodeOfTheTableHasItsType) {
    const std::map<ErrorType, std::vector<int>> table{
        {ErrorType::network, {-195, -193, -181, 13}},
        {ErrorType::timeout, {-192, -185, -166, 7}},
        {ErrorType::service_unavailable,
         {-187, 3, 5, 6, 8, 9, 14, 15, 16, 19, 20, 41, 51, 56, 74, 75, 78, 80, 83, 88, 89, -1}},
        {ErrorType::resource_exhausted, {-184}},
        {ErrorType::authentication, {-169, 58, 33, 34, 54, 61, 62, 63, 64, 66, 93}},
        {ErrorType::authorization, {29, 30, 31, 53, 65}},
        {ErrorType::bad_request,
         {10, 18, 87, 4, 32, 21, 43, 44, 17, 37, 40, 42, 35, 76, 12, 2, -199, -198, -186, -190, -188}},
        {ErrorType::fatal, {-150, 45, 47, -144, 90, 52, 48, 49, -148, -149}},
        {ErrorType::cancelled, {-152, -151, -197, -163}},
    };

    for (const auto& [type, codes] : table)
        for (const int code : codes)
            EXPECT_EQ(classify(code_of(code)), type) << code << ": " << code_of(code).message();
}

TEST(KafkaError, ACodeThatSaysNothingCertainIsUnknown) {
    EXPECT_EQ(classify(code_of(69)), ErrorType::unknown); // GROUP_ID_NOT_FOUND
}

TEST(KafkaError, ComparesWithItsNameAndPrintsTheBrokersWords) {
    const Error error{KafkaErrc::message_too_large};

    EXPECT_EQ(error, KafkaErrc::message_too_large);
    EXPECT_FALSE(error == KafkaErrc::topic_already_exists);
    EXPECT_NE(error.message().find("Message size too large"), std::string::npos);
    EXPECT_TRUE(error.blames_record());
}

} // namespace
} // namespace velostream::kafka
