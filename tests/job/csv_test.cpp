// SPDX-License-Identifier: Apache-2.0
#include "input/csv.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace orders {
namespace {

std::vector<std::string> records_of(const std::vector<std::string>& blocks) {
    RecordSplitter splitter;
    std::vector<std::string> records;
    const auto drain = [&] {
        while (const auto record = splitter.next()) records.emplace_back(*record);
    };
    for (const auto& block : blocks) {
        splitter.feed(block);
        drain();
    }
    splitter.finish();
    drain();
    return records;
}

using Records = std::vector<std::string>;

TEST(RecordSplitter, EndsRecordsAtEveryKindOfLineEnd) {
    EXPECT_EQ(records_of({"a,b\nc\r\nd\re"}), (Records{"a,b", "c", "d", "e"}));
}

TEST(RecordSplitter, SkipsEmptyLines) {
    EXPECT_EQ(records_of({"\n\na\n\r\n\r\nb\n\n"}), (Records{"a", "b"}));
}

TEST(RecordSplitter, KeepsLineEndsInsideQuotes) {
    EXPECT_EQ(records_of({"a,\"two\nlines\",c\nnext\n"}), (Records{"a,\"two\nlines\",c", "next"}));
    EXPECT_EQ(records_of({"\"he said \"\"no\"\"\n\",c\nnext"}), (Records{"\"he said \"\"no\"\"\n\",c", "next"}));
}

TEST(RecordSplitter, AQuoteInsideAnUnquotedFieldIsJustACharacter) {
    EXPECT_EQ(records_of({"5\" nail,b\nnext\n"}), (Records{"5\" nail,b", "next"}));
}

TEST(RecordSplitter, GivesTheSameRecordsHoweverTheBytesArriveInBlocks) {
    const std::string text = "a,\"x\"\"y\r\nz\"\r\n\r\nb\r\nc,\"\"\n\"d\"e\rf";
    const auto whole = records_of({text});
    for (std::size_t size = 1; size < text.size(); ++size) {
        std::vector<std::string> blocks;
        for (std::size_t at = 0; at < text.size(); at += size) blocks.push_back(text.substr(at, size));
        EXPECT_EQ(records_of(blocks), whole) << "blocks of " << size;
    }
    EXPECT_EQ(whole, (Records{"a,\"x\"\"y\r\nz\"", "b", "c,\"\"", "\"d\"e", "f"}));
}

TEST(RecordSplitter, StopsAtAQuoteThatIsNeverClosed) {
    RecordSplitter splitter;
    splitter.feed("ok\n\"never closed\n");
    EXPECT_TRUE(splitter.next());
    EXPECT_FALSE(splitter.next());
    EXPECT_FALSE(splitter.overlong());
    splitter.feed(std::string(RecordSplitter::longest_record, 'x'));
    EXPECT_FALSE(splitter.next());
    EXPECT_TRUE(splitter.overlong());
}

TEST(RecordSplitter, StopsAtARecordThatIsTooLongThoughItsEndIsThere) {
    RecordSplitter longest, longer;
    longest.feed(std::string(RecordSplitter::longest_record, 'x'));
    longest.feed("\n");
    longer.feed(std::string(RecordSplitter::longest_record + 1, 'x'));
    longer.feed("\n");

    EXPECT_TRUE(longest.next());
    EXPECT_FALSE(longest.overlong());
    EXPECT_FALSE(longer.next());
    EXPECT_TRUE(longer.overlong());
}

Records fields_of(std::string_view record) {
    const RecordFields fields{record};
    Records result;
    for (std::size_t at = 0; at < std::min(fields.count(), RecordFields::capacity); ++at)
        result.emplace_back(fields[at]);
    return result;
}

TEST(RecordFields, SplitsPlainAndQuotedFields) {
    EXPECT_EQ(fields_of("a,,c"), (Records{"a", "", "c"}));
    EXPECT_EQ(fields_of("\"a,b\",\"c\"\"d\",\"\",e"), (Records{"a,b", "c\"d", "", "e"}));
    EXPECT_EQ(fields_of("\"a\"b,5\" nail"), (Records{"ab", "5\" nail"}));
    EXPECT_EQ(fields_of("a,\"\"\"\""), (Records{"a", "\""}));
    EXPECT_EQ(fields_of(""), (Records{""}));
}

TEST(RecordFields, CountsFieldsBeyondItsCapacity) {
    EXPECT_EQ(RecordFields{"1,2,3,4,5,6,7,8,9,10"}.count(), 10U);
    EXPECT_EQ(RecordFields{"1,2,3,4,5,6,7,8,9,\"10\""}.count(), 10U);
}

} // namespace
} // namespace orders
