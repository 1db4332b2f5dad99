// SPDX-License-Identifier: Apache-2.0
#include "lookup/segment_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "input/input_error.hpp"
#include "support/temporary_folder.hpp"

namespace orders {
namespace {

using testing::HasSubstr;

class SegmentTableTest : public testing::Test {
  protected:
    velostream::Result<std::string> sql_of(std::string_view text) {
        const auto path = folder_.path() / "segments.csv";
        std::ofstream{path} << text;
        return fill_table_sql(path);
    }
    void expect_unreadable(std::string_view text, const std::string& why) {
        const auto sql = sql_of(text);
        ASSERT_FALSE(sql);
        EXPECT_EQ(sql.error(), InputErrc::unreadable);
        EXPECT_THAT(sql.error().message(), HasSubstr(why));
    }

    velostream::TemporaryFolder folder_;
};

TEST_F(SegmentTableTest, IsFilledByOneStatement) {
    const auto sql = sql_of("customer,segment\n1,retail\n2,wholesale\n");

    ASSERT_TRUE(sql);
    EXPECT_EQ(*sql, "INSERT INTO customer_segments VALUES ('1','retail'),('2','wholesale')");
}

TEST_F(SegmentTableTest, TakesQuotesForWhatTheyAre) {
    const auto sql = sql_of("customer,segment\nO'Brien,\"a, \"\"b\"\"'); DROP TABLE x --\"\n");

    ASSERT_TRUE(sql);
    EXPECT_EQ(*sql, "INSERT INTO customer_segments VALUES ('O''Brien','a, \"b\"''); DROP TABLE x --')");
}

TEST_F(SegmentTableTest, RefusesAFileThatIsNoneAndSaysWhy) {
    expect_unreadable("", "no customers");
    expect_unreadable("customer,segment\n", "no customers");
    expect_unreadable("customer\n1\n", "header is not customer,segment");
    expect_unreadable("customer,segment\n1,retail\n2\n", "no customer with a segment: 2");
    expect_unreadable("customer,segment\n1,2,3\n", "no customer with a segment: 1,2,3");
    EXPECT_FALSE(fill_table_sql(folder_.path() / "absent.csv"));
}

} // namespace
} // namespace orders
