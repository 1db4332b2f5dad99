// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/letters_aside.hpp"

#include <gtest/gtest.h>

#include <boost/system/errc.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace velostream::detail {
namespace {

namespace errc = boost::system::errc;

class LettersAsideTest : public ::testing::Test {
  protected:
    // How often it has failed in a row, with a mark if that is an alert.
    std::string failed(std::uint64_t sequence, const Error& error) {
        const auto failure = letters.on_failed(sequence, error);
        if (!failure) return "not here";
        return std::to_string(failure->in_a_row) + (failure->is_alert ? "!" : "");
    }
    void arrived(std::uint64_t sequence) { letters.on_arrived(letters.take(sequence)); }

    const Error too_large{errc::make_error_code(errc::message_size)};
    const Error no_topic{errc::make_error_code(errc::invalid_argument)};
    const Error unreachable{errc::make_error_code(errc::connection_refused)};
    LettersAside letters{3};
};

TEST_F(LettersAsideTest, ALetterIsAnAlertOnceWhenItHasFailedOftenEnough) {
    EXPECT_TRUE(letters.put(7, 0));

    EXPECT_EQ(failed(7, too_large), "1");
    EXPECT_EQ(failed(7, too_large), "2");
    EXPECT_EQ(failed(7, too_large), "3!");
    EXPECT_EQ(failed(7, too_large), "4");
    EXPECT_EQ(failed(8, too_large), "not here");
}

TEST_F(LettersAsideTest, WhatFailedBeforeItCameHereCounts) {
    letters.put(7, 2);
    EXPECT_FALSE(letters.put(7, 0)) << "it is here";

    EXPECT_EQ(failed(7, no_topic), "3!");
}

TEST_F(LettersAsideTest, ACountDoesNotBeginAgainFromZero) {
    constexpr auto most = std::numeric_limits<std::uint32_t>::max();
    letters.put(7, most);

    EXPECT_EQ(failed(7, too_large), std::to_string(most) + "!");
}

TEST_F(LettersAsideTest, ManyOfOneCauseAreOneAlertAndOfTwoCausesTwo) {
    for (const std::uint64_t sequence : {1U, 2U, 3U, 4U}) letters.put(sequence, 1);
    for (const std::uint64_t sequence : {1U, 2U, 3U}) EXPECT_EQ(failed(sequence, no_topic), "2");

    EXPECT_EQ(failed(1, no_topic), "3!");
    EXPECT_EQ(failed(2, no_topic), "3");
    EXPECT_EQ(failed(3, no_topic), "3");
    EXPECT_EQ(failed(4, too_large), "2");
    EXPECT_EQ(failed(4, too_large), "3!");
}

TEST_F(LettersAsideTest, AnErrorThatBlamesNoLetterCountsAndIsNoCauseOfItsOwn) {
    letters.put(1, 0);
    EXPECT_EQ(failed(1, too_large), "1");
    EXPECT_EQ(failed(1, unreachable), "2");
    EXPECT_EQ(failed(1, unreachable), "3!");

    EXPECT_EQ(failed(1, too_large), "4");
}

TEST_F(LettersAsideTest, WhenOneHasArrivedAfterAnAlertTheOthersAreCountedAnew) {
    for (const std::uint64_t sequence : {1U, 2U, 3U}) letters.put(sequence, 2);
    EXPECT_EQ(failed(1, no_topic), "3!");
    EXPECT_EQ(failed(2, no_topic), "3");

    arrived(1);

    EXPECT_FALSE(letters.contains(1));
    EXPECT_EQ(failed(2, no_topic), "1");
    arrived(3);
    EXPECT_EQ(failed(2, no_topic), "2") << "there was no alert since";
    EXPECT_EQ(failed(2, no_topic), "3!");
}

TEST_F(LettersAsideTest, OneThatArrivedAndWasNotHereChangesNothing) {
    letters.put(1, 2);
    EXPECT_EQ(failed(1, too_large), "3!");

    arrived(9);

    EXPECT_EQ(failed(1, too_large), "4");
}

TEST_F(LettersAsideTest, OneThatIsPutBackIsWhatItWas) {
    letters.put(1, 1);
    EXPECT_EQ(failed(1, too_large), "2");

    letters.put_back(letters.take(1));
    letters.put_back(letters.take(9)); // there is none

    EXPECT_EQ(letters.size(), 1u);
    EXPECT_EQ(failed(1, too_large), "3!");
}

TEST_F(LettersAsideTest, ThoseThatCanBeReadNoMoreAreForgotten) {
    for (const std::uint64_t sequence : {2U, 4U, 6U, 8U}) letters.put(sequence, 0);

    letters.forget_missing(2, {{3, ""}, {6, ""}, {7, ""}}); // 2 is before, and 8 is not read yet

    EXPECT_TRUE(letters.contains(2));
    EXPECT_FALSE(letters.contains(4));
    EXPECT_TRUE(letters.contains(6));
    EXPECT_TRUE(letters.contains(8));
    EXPECT_EQ(letters.first(), 2u);
    EXPECT_EQ(letters.last(), 8u);
    letters.forget_missing(2, {}); // the end
    EXPECT_EQ(letters.size(), 1u);
}

TEST_F(LettersAsideTest, ACauseGoesWithTheLastOfItsLetters) {
    for (const std::uint64_t sequence : {1U, 2U}) letters.put(sequence, 2);
    EXPECT_EQ(failed(1, no_topic), "3!");
    EXPECT_EQ(failed(2, too_large), "3!");

    letters.forget_missing(0, {{2, ""}});

    for (const std::uint64_t sequence : {3U, 4U}) letters.put(sequence, 2);
    EXPECT_EQ(failed(3, no_topic), "3!");
    EXPECT_EQ(failed(4, too_large), "3") << "number 2 is still here";
}

} // namespace
} // namespace velostream::detail
