// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/shown.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "tools/dlq/progress.hpp"
#include "tools/dlq/table.hpp"

namespace velostream::dlq {
namespace {

using namespace std::string_literals;

constexpr std::size_t all = 1000;

std::string text(std::string_view bytes, std::size_t most) {
    return shown(bytes, most);
}

TEST(ShownTest, TextIsShownAsItIsAndWhatATerminalWouldObeyIsEscaped) {
    EXPECT_EQ(text("grüße, 世界", all), "grüße, 世界");
    EXPECT_EQ(text("a\tb\r\n", all), "a\\tb\\r\\n");
    EXPECT_EQ(text("back\\slash", all), "back\\\\slash");
    EXPECT_EQ(text("\x1b[31mred", all), "\\x1b[31mred");
    EXPECT_EQ(text("\xc2\x9b"
                   "31m",
                   all),
              "\\u009b31m"); // the same in one character
    EXPECT_EQ(text("a\xe2\x80\xae"
                   "b",
                   all),
              "a\\u202eb"); // would turn the direction
    EXPECT_EQ(text("a\xd8\x9c"
                   "b",
                   all),
              "a\\u061cb"); // so would the mark for Arabic letters
    EXPECT_EQ(text("nul\0here"s, all), "nul\\x00here");
}

TEST(ShownTest, BytesThatAreNoTextAreHexadecimal) {
    EXPECT_EQ(text("\xff\x00\x10"s, all), "0xff0010");
    EXPECT_EQ(text("\xc0\x80", all), "0xc080");             // overlong
    EXPECT_EQ(text("\xed\xa0\x80", all), "0xeda080");       // a surrogate
    EXPECT_EQ(text("\xf4\x90\x80\x80", all), "0xf4908080"); // beyond Unicode
    EXPECT_EQ(text("cut \xe4\xb8", all), "0x63757420e4b8");
}

TEST(ShownTest, NullAndEmptyDiffer) {
    EXPECT_EQ(shown(NullableBytes{}, all), "null");
    EXPECT_EQ(shown(NullableBytes{""}, all), "");
}

TEST(ShownTest, WhatIsCutSaysHowMuchThereIsAndNoCharacterIsCut) {
    EXPECT_EQ(text("abcdef", 6), "abcdef");
    EXPECT_EQ(text("abcdefg", 6), "abcdef… (7 bytes)");
    EXPECT_EQ(text("üü", 3), "ü… (4 bytes)");
    EXPECT_EQ(text("\xff\xfe\xfd", 2), "0xfffe… (3 bytes)");
    EXPECT_EQ(text(std::string(1234, 'x'), 1), "x… (1 234 bytes)");
}

TEST(ShownTest, TimesAreInUtcWithMilliseconds) {
    EXPECT_EQ(to_text(WallTime{std::chrono::milliseconds{1'700'000'000'123}}), "2023-11-14T22:13:20.123Z");
    EXPECT_EQ(to_text(WallTime{std::chrono::milliseconds{-1}}), "1969-12-31T23:59:59.999Z");
}

TEST(ShownTest, TimesThatNoCalendarHasAreShownAsTheyAre) {
    EXPECT_EQ(to_text(WallTime{std::chrono::milliseconds{253'402'300'799'999}}), "9999-12-31T23:59:59.999Z");
    EXPECT_EQ(to_text(WallTime{std::chrono::milliseconds{1'700'000'000'000'000}}), "1700000000000000 ms");
    EXPECT_EQ(to_text(WallTime::max()), "9223372036854775807 ms");
    EXPECT_EQ(to_text(WallTime{std::chrono::milliseconds{-62'167'219'200'000}}), "0000-01-01T00:00:00.000Z");
    EXPECT_EQ(to_text(WallTime::min()), "-9223372036854775808 ms");
}

TEST(ShownTest, NumbersAreGroupedByThousands) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1000), "1 000");
    EXPECT_EQ(grouped(1'234'567), "1 234 567");
}

TEST(ShownTest, ColumnsCountCharactersNotBytes) {
    EXPECT_EQ(columns("grüße"), 5U);
    EXPECT_EQ(cut_to_columns("grüße", 5), "grüße");
    EXPECT_EQ(cut_to_columns("grüße", 4), "grü…");
    EXPECT_EQ(cut_to_columns("grüße", 0), "");
}

TEST(TableTest, ColumnsAreAsWideAsWhatStandsInThem) {
    Table table{{{"N", Table::Align::right}, {"NAME"}, {"LAST"}}};
    table.add({"1", "über", "x"});
    table.add({"1 000", "a", ""});

    EXPECT_EQ(table.text(std::nullopt),
              "    N  NAME  LAST\n"
              "    1  über  x\n"
              "1 000  a\n");
}

TEST(TableTest, LinesThatAreTooLongAreCutAtTheirEnd) {
    Table table{{{"NAME"}, {"MESSAGE"}}};
    table.add({"a", "a long message"});

    EXPECT_EQ(table.text(12), "NAME  MESSA…\na     a lon…\n");
    EXPECT_EQ(table.text(20), "NAME  MESSAGE\na     a long message\n");
}

TEST(ProgressTest, SaysHowFarAndHowFast) {
    EXPECT_EQ(progress_line("reading t", 500, 2000, 2.0),
              "reading t [#######.......................]  25 %  500 of 2 000, 250/s");
    EXPECT_EQ(progress_line("reading t", 3000, 2000, 1.0),
              "reading t [##############################] 100 %  3 000 of 2 000, 3 000/s");
    EXPECT_EQ(progress_line("import", 7, 0, 0.0), "import: 7, 0/s");
}

} // namespace
} // namespace velostream::dlq
