// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/filter.hpp"

#include <gtest/gtest.h>

#include "made_letter.hpp"
#include "tools/dlq/letters.hpp"

namespace velostream::dlq {
namespace {

using namespace std::chrono_literals;

bool takes(const Filter& filter, const MadeLetter& made) {
    return filter.takes(made.letter(), made.facts());
}

TEST(FilterTest, WithoutAnythingTakesEveryLetter) {
    MadeLetter bare;
    bare.record.headers.clear();
    bare.record.timestamp.reset();

    EXPECT_TRUE(takes({}, MadeLetter{}));
    EXPECT_TRUE(takes({}, bare));
}

TEST(FilterTest, TimesIncludeTheFirstAndExcludeTheLast) {
    MadeLetter made;
    const auto time = *made.record.timestamp;

    EXPECT_TRUE(takes({.since = time}, made));
    EXPECT_FALSE(takes({.since = time + 1ms}, made));
    EXPECT_FALSE(takes({.until = time}, made));
    EXPECT_TRUE(takes({.until = time + 1ms}, made));
    made.record.timestamp.reset();
    EXPECT_FALSE(takes({.since = time}, made));
    EXPECT_FALSE(takes({.until = time}, made));
}

TEST(FilterTest, ATypeIsTheErrorsTypeOrItsClass) {
    EXPECT_TRUE(takes({.types = {"timeout", "bad_request"}}, MadeLetter{}));
    EXPECT_TRUE(takes({.types = {"shop::NoQuantity"}}, MadeLetter{}));
    EXPECT_FALSE(takes({.types = {"timeout"}}, MadeLetter{}));
}

TEST(FilterTest, PlaceFingerprintAndTopicMustBeOneOfThoseGiven) {
    MadeLetter made;
    made.at({1, 10});

    EXPECT_TRUE(takes({.spans = {{.partition = 0}, {.partition = 1, .from = 10, .to = 10}}}, made));
    EXPECT_FALSE(takes({.spans = {{.partition = 0}, {.partition = 1, .from = 11}}}, made));
    EXPECT_TRUE(takes({.fingerprints = {1, 255}}, made));
    EXPECT_FALSE(takes({.fingerprints = {1}}, made));
    EXPECT_TRUE(takes({.original_topics = {"orders"}}, made));
    EXPECT_FALSE(takes({.original_topics = {"order"}}, made));
}

TEST(FilterTest, AKeyMustBeginWithThePrefixAndANullKeyHasNone) {
    MadeLetter made;

    EXPECT_TRUE(takes({.key_prefix = "customer"}, made));
    EXPECT_TRUE(takes({.key_prefix = ""}, made));
    EXPECT_FALSE(takes({.key_prefix = "customer-70"}, made));
    made.record.key.reset();
    EXPECT_FALSE(takes({.key_prefix = ""}, made));
}

TEST(FilterTest, EveryHeaderMustBeThere) {
    MadeLetter made;
    made.record.headers.emplace_back("trace", "second");
    made.record.headers.emplace_back("empty", std::nullopt);

    EXPECT_TRUE(takes({.headers = {{"trace", std::nullopt}}}, made));
    EXPECT_TRUE(takes({.headers = {{"trace", "second"}, {"trace", "abc"}}}, made));
    EXPECT_FALSE(takes({.headers = {{"trace", "abc"}, {"other", std::nullopt}}}, made));
    EXPECT_TRUE(takes({.headers = {{"empty", std::nullopt}}}, made));
    EXPECT_FALSE(takes({.headers = {{"empty", ""}}}, made));
}

TEST(FilterTest, EverythingThatIsGivenMustFit) {
    EXPECT_TRUE(takes({.types = {"bad_request"}, .key_prefix = "customer"}, MadeLetter{}));
    EXPECT_FALSE(takes({.types = {"bad_request"}, .key_prefix = "x"}, MadeLetter{}));
    EXPECT_FALSE(takes({.types = {"timeout"}, .key_prefix = "customer"}, MadeLetter{}));
}

TEST(FilterTest, OfATopicOnlyWhatSpansHoldIsRead) {
    const std::vector<kafka::OffsetRange> held{{0, 0, 100}, {1, 50, 60}, {2, 0, 0}};
    const auto narrow = [&held](std::vector<PartitionSpan> spans) {
        std::string text;
        for (const auto& range : narrowed(held, spans))
            text += std::to_string(range.partition) + ":" + std::to_string(range.first) + "-" +
                    std::to_string(range.end) + " ";
        return text;
    };

    EXPECT_EQ(narrow({}), "0:0-100 1:50-60 2:0-0 ");
    EXPECT_EQ(narrow({{.partition = 0, .from = 10, .to = 19}}), "0:10-20 ");
    EXPECT_EQ(narrow({{.partition = 0, .from = 30, .to = 30}, {.partition = 0, .from = 10, .to = 10}}), "0:10-31 ");
    EXPECT_EQ(narrow({{.partition = 1}}), "1:50-60 ");
    EXPECT_EQ(narrow({{.partition = 1, .from = 0, .to = 49}}), "");
    EXPECT_EQ(narrow({{.partition = 1, .from = 60}}), "");
    EXPECT_EQ(narrow({{.partition = 7}}), "");
}

} // namespace
} // namespace velostream::dlq
