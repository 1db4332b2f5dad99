// SPDX-License-Identifier: Apache-2.0
#include "kafka/topic_answers.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace velostream::kafka {
namespace {

constexpr auto mildest = KafkaErrc::topic_already_exists;
constexpr TopicAnswer made{"made", KafkaErrc{}, "Success"};
constexpr TopicAnswer there{"there", mildest, "is there already"};
constexpr TopicAnswer forbidden{"forbidden", KafkaErrc::topic_authorization_failed, "is not yours"};
constexpr TopicAnswer nameless{"nameless", KafkaErrc{17}, "has no name"};

Error error_of(const std::vector<TopicAnswer>& answers) {
    return outcome_of(answers, mildest).error();
}

TEST(TopicAnswers, ASuccessOfEachIsSuccess) {
    EXPECT_TRUE(outcome_of({}, mildest));
    EXPECT_TRUE(outcome_of(std::vector{made, made}, mildest));
}

TEST(TopicAnswers, TheFirstTopicThatFailedGivesTheCode) {
    EXPECT_EQ(error_of({forbidden, nameless}), forbidden.code);
    EXPECT_EQ(error_of({made, nameless, forbidden, made}), nameless.code);
}

TEST(TopicAnswers, TheMildestCodeIsGivenOnlyIfNoneIsWorse) {
    EXPECT_EQ(error_of({made, there, there}), mildest);
    EXPECT_EQ(error_of({there, there, forbidden, nameless}), forbidden.code);
    EXPECT_EQ(error_of({nameless, there, forbidden}), nameless.code);
}

TEST(TopicAnswers, TheDetailNamesEveryTopicThatFailed) {
    EXPECT_EQ(error_of({there, made, forbidden}).detail(),
              "topic there: is there already; topic forbidden: is not yours");
}

} // namespace
} // namespace velostream::kafka
