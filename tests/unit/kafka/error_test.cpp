// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "velostream/base/error.hpp"

namespace velostream::kafka {
namespace {

boost::system::error_code code_of(int value) {
    return make_error_code(static_cast<KafkaErrc>(value));
}

const std::map<ErrorType, std::vector<int>> types{
    {ErrorType::network, {-195, -193, -181, 13}},
    {ErrorType::timeout, {-192, -185, -166, 7}},
    {ErrorType::service_unavailable,
     {-196, -191, -189, -187, -183, -182, -180, -178, -177, -175, -174, -172, -168, -167, -164, -158,
      -155, -153, -147, -146, -142, -141, -1,   1,    3,    5,    6,    8,    9,    11,   14,   15,
      16,   19,   20,   22,   25,   27,   41,   51,   55,   56,   59,   60,   68,   70,   71,   72,
      74,   75,   77,   78,   79,   80,   81,   83,   86,   88,   89,   94,   96}},
    {ErrorType::resource_exhausted, {-194, -184}},
    {ErrorType::authentication, {-169, 33, 34, 54, 58, 61, 62, 63, 64, 66, 93, 97}},
    {ErrorType::authorization, {29, 30, 31, 53, 65}},
    {ErrorType::bad_request,
     {-199, -198, -190, -188, -186, -162, -161, -160, -159, -156, 2,  4,  10, 12, 17, 18, 21, 28, 32, 35,
      36,   37,   38,   39,   40,   42,   43,   44,   57,   67,   69, 73, 76, 84, 85, 87, 91, 92, 95}},
    {ErrorType::fatal, {-179, -176, -173, -171, -170, -165, -157, -154, -150, -149, -148, -145, -144,
                        -140, 23,   24,   26,   45,   47,   48,   49,   50,   52,   82,   90}},
    {ErrorType::cancelled, {-197, -163, -152, -151}},
    {ErrorType::outcome_unknown, {46}},
    {ErrorType::unknown, {-143}},
};

TEST(KafkaError, EveryCodeOfTheTableHasItsType) {
    for (const auto& [type, codes] : types)
        for (const int code : codes)
            EXPECT_EQ(classify(code_of(code)), type) << code << ": " << code_of(code).message();
}

TEST(KafkaError, TheTableHasEveryCodeOfLibrdkafka2Once) {
    std::vector<int> expected;
    for (int code = -199; code <= -140; ++code) expected.push_back(code); // the client's own
    for (int code = -1; code <= 97; ++code)                               // the protocol's
        if (code != 0) expected.push_back(code);
    std::vector<int> listed;
    for (const auto& [type, codes] : types) listed.insert(listed.end(), codes.begin(), codes.end());
    std::sort(listed.begin(), listed.end());

    EXPECT_EQ(listed, expected);
}

TEST(KafkaError, NothingBlamesTheRecordButWhatARecordCanCauseAndTheProgramsOwnWords) {
    for (const auto& [type, codes] : types)
        for (const int code : codes) {
            const bool may_blame = type == ErrorType::bad_request || type == ErrorType::unknown;
            EXPECT_EQ(Error{code_of(code)}.blames_record(), may_blame) << code << ": " << code_of(code).message();
        }
}

TEST(KafkaError, ACodeOfAnotherVersionPassesAndIsNotTheRecordsFault) {
    for (const int code : {-200, -139, -100, -2, 98, 110, 9999}) {
        EXPECT_EQ(classify(code_of(code)), ErrorType::service_unavailable) << code;
        EXPECT_FALSE(Error{code_of(code)}.blames_record()) << code;
    }
}

TEST(KafkaError, SuccessIsOfNoType) {
    const auto success = code_of(0);
    EXPECT_FALSE(success);
    EXPECT_FALSE(success == ErrorType::service_unavailable);
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
