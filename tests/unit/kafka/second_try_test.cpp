// SPDX-License-Identifier: Apache-2.0
#include "kafka/second_try.hpp"

#include <gtest/gtest.h>

namespace velostream::kafka {
namespace {

constexpr int invalid_msg = 2, invalid_record = 87;

TEST(SecondTry, ABatchWithAWrongChecksumIsSentAgainOnce) {
    EXPECT_EQ(second_try_after(invalid_msg, {}), SecondTry::again);
    EXPECT_EQ(second_try_after(invalid_msg, {.again = true}), SecondTry::none);
}

TEST(SecondTry, ARecordOfABadBatchIsSentAloneOnce) {
    EXPECT_EQ(second_try_after(invalid_record, {}), SecondTry::alone);
    EXPECT_EQ(second_try_after(invalid_record, {.alone = true}), SecondTry::none);
}

TEST(SecondTry, TheOneDoesNotUseUpTheOther) {
    EXPECT_EQ(second_try_after(invalid_msg, {.alone = true}), SecondTry::again);
    EXPECT_EQ(second_try_after(invalid_record, {.again = true}), SecondTry::alone);
    EXPECT_EQ(second_try_after(invalid_msg, {.again = true, .alone = true}), SecondTry::none);
    EXPECT_EQ(second_try_after(invalid_record, {.again = true, .alone = true}), SecondTry::none);
}

TEST(SecondTry, EveryOtherRefusalStands) {
    for (int code = -199; code <= 97; ++code) {
        if (code == invalid_msg || code == invalid_record) continue;
        EXPECT_EQ(second_try_after(code, {}), SecondTry::none) << code;
    }
}

} // namespace
} // namespace velostream::kafka
