// SPDX-License-Identifier: Apache-2.0
#include "core/utf8.hpp"

#include <gtest/gtest.h>

#include <string>

namespace velostream::detail {
namespace {

constexpr auto replaced = "\xEF\xBF\xBD";

TEST(ValidUtf8, KeepsWhatIsValid) {
    for (const std::string text : {"", "plain", "\xC3\xA9", "\xE2\x82\xAC and \xF0\x9F\x98\x80"})
        EXPECT_EQ(valid_utf8(text), text);
    EXPECT_EQ(valid_utf8(std::string(1, '\0')), std::string(1, '\0'));
}

TEST(ValidUtf8, ReplacesEveryByteThatBelongsToNoCharacter) {
    EXPECT_EQ(valid_utf8("a\xFFz"), std::string{"a"} + replaced + "z");
    EXPECT_EQ(valid_utf8("\xC3"), replaced) << "torn at the end";
    EXPECT_EQ(valid_utf8("\xE2\x82"), std::string{replaced} + replaced);
    EXPECT_EQ(valid_utf8("\xC0\x80"), std::string{replaced} + replaced) << "longer than needed";
    EXPECT_EQ(valid_utf8("\xED\xA0\x80"), std::string{replaced} + replaced + replaced) << "half of a pair";
    EXPECT_EQ(valid_utf8("\xF5\x80\x80\x80x"), std::string{replaced} + replaced + replaced + replaced + "x");
}

TEST(Cut, KeepsShortTextsAndCutsNoCharacterInTwo) {
    EXPECT_EQ(cut("short", 5), "short");
    EXPECT_EQ(cut("longer text", 8), "longe...");
    EXPECT_EQ(cut("ab\xc3\xa9xyz!", 6), "ab...") << "the two bytes of é would not both fit";
    EXPECT_EQ(cut("a\xc3\xa9xyz!!", 6), "a\xc3\xa9...");
    EXPECT_EQ(cut("text", 2), "") << "not even the mark fits";
}

} // namespace
} // namespace velostream::detail
