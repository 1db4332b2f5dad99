// SPDX-License-Identifier: Apache-2.0
// Letters that are put aside in the spool, since they or their topic are to blame: somebody must hear of them.
#include <algorithm>
#include <iterator>

#include "dead_letter_spool_fixture.hpp"

namespace velostream {
namespace {

using Counts = std::vector<std::uint32_t>;

class DeadLetterAsideTest : public DeadLetterSpoolTest {
  protected:
    DeadLetterAsideTest() {
        EXPECT_EQ(too_large.type(), ErrorType::bad_request);
        EXPECT_EQ(no_topic.type(), ErrorType::bad_request);
    }
    // What was told of letters that are stuck.
    Texts alerts() const {
        Texts alerts;
        std::ranges::copy_if(observer->events, std::back_inserter(alerts),
                             [](const std::string& event) { return event.find("stuck") != std::string::npos; });
        return alerts;
    }

    const Error too_large{boost::system::errc::make_error_code(boost::system::errc::message_size), "record"};
    const Error no_topic{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "no such topic"};
};

TEST_F(DeadLetterAsideTest, EachFailureIsToldAndTheAlertComesOnceAStall) {
    begin();
    sink.fail_next(too_large, 8); // one of them before it is in the spool

    send("too large");
    EXPECT_EQ(observer->delayed, Counts{1});
    for (int minute = 0; minute < 2; ++minute) pass(60s);
    EXPECT_EQ(alerts(), Texts{}) << "it has failed 3 times";
    pass(60s);
    EXPECT_EQ(alerts(), Texts{"1 stuck after 4"});
    for (int minute = 0; minute < 3; ++minute) pass(60s);

    EXPECT_EQ(observer->delayed, (Counts{1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(alerts(), Texts{"1 stuck after 4"});
    EXPECT_EQ(arrived(), Texts{});
    pass(60s);
    EXPECT_EQ(arrived(), Texts{"too large"});
    EXPECT_EQ(observer->delayed.size(), 7u);
}

TEST_F(DeadLetterAsideTest, WithoutRetriesTheFirstFailureIsTheAlert) {
    config.max_retries = 0;
    begin();
    sink.fail_next(too_large, 2);

    send("too large");

    EXPECT_EQ(observer->delayed, Counts{1});
    EXPECT_EQ(alerts(), Texts{"1 stuck after 1"});
}

TEST_F(DeadLetterAsideTest, OthersThatArriveDoNotHideIt) {
    begin();
    sink.fail_next(too_large, 2);
    send("too large");
    for (int minute = 0; minute < 3; ++minute) {
        send("another");
        sink.fail_next(too_large);
        pass(60s);
    }

    EXPECT_EQ(arrived(), (Texts{"another", "another", "another"}));
    EXPECT_EQ(alerts(), Texts{"1 stuck after 4"});
}

TEST_F(DeadLetterAsideTest, AnUnknownTopicIsOneAlertHoweverManyLettersItHasAndAnotherWhenItGoesAgain) {
    begin();
    sink.fail_next(no_topic, 4); // each twice: at once, and from the spool
    send("a");
    send("b");
    sink.fail_next(no_topic, 2);
    pass(60s);
    sink.fail_next(no_topic, 2);
    send("c");
    sink.fail_next(no_topic, 3);
    pass(60s);
    EXPECT_EQ(observer->delayed, (Counts{1, 1, 2, 2, 1, 3, 3, 2}));
    EXPECT_EQ(alerts(), Texts{});
    for (int minute = 0; minute < 5; ++minute) {
        sink.fail_next(no_topic, 3);
        pass(60s);
    }
    EXPECT_EQ(alerts(), Texts{"3 stuck after 4"});

    pass(60s); // the topic is there again
    EXPECT_EQ(arrived(), (Texts{"a", "b", "c"}));
    EXPECT_EQ(in_spool(), 0u);
    sink.fail_next(no_topic, 2);
    send("d");
    for (int minute = 0; minute < 4; ++minute) {
        sink.fail_next(no_topic);
        pass(60s);
    }

    EXPECT_EQ(alerts(), (Texts{"3 stuck after 4", "1 stuck after 4"}));
}

TEST_F(DeadLetterAsideTest, ATopicThatComesForAMomentIsAnotherAlertForThoseThatDidNotGetThere) {
    begin();
    sink.fail_next(no_topic, 4);
    send("a");
    send("b");
    for (int minute = 0; minute < 3; ++minute) {
        sink.fail_next(no_topic, 2);
        pass(60s);
    }
    EXPECT_EQ(alerts(), Texts{"2 stuck after 4"});
    sink.fail_next(no_topic); // of the first
    pass(60s);
    ASSERT_EQ(arrived(), Texts{"b"});

    for (int minute = 0; minute < 4; ++minute) {
        EXPECT_EQ(alerts(), Texts{"2 stuck after 4"}) << minute;
        sink.fail_next(no_topic);
        pass(60s);
    }

    EXPECT_EQ(alerts(), (Texts{"2 stuck after 4", "1 stuck after 4"}));
}

TEST_F(DeadLetterAsideTest, ALetterThatIsTooLargeForEverDoesNotHideThatTheTopicGoes) {
    begin();
    sink.fail_next(too_large, 2);
    send("too large");
    for (int minute = 0; minute < 3; ++minute) {
        sink.fail_next(too_large);
        pass(60s);
    }
    EXPECT_EQ(alerts(), Texts{"1 stuck after 4"});

    sink.fail_next(no_topic, 2);
    send("a");
    for (int minute = 0; minute < 3; ++minute) {
        sink.fail_next(too_large);
        sink.fail_next(no_topic);
        pass(60s);
    }

    EXPECT_EQ(alerts(), (Texts{"1 stuck after 4", "2 stuck after 4"}));
}

TEST_F(DeadLetterAsideTest, FailuresBeforeItsErrorBlamedItCountAndSoDoThoseInBetween) {
    begin();
    sink.fail_next(unreachable, 3); // one of them before it is in the spool
    send("a");
    pass(60s);
    EXPECT_EQ(observer->delayed, (Counts{1, 2}));

    sink.fail_next(no_topic);
    pass(60s);
    EXPECT_EQ(observer->delayed, (Counts{1, 2, 3}));
    EXPECT_EQ(alerts(), Texts{});
    sink.fail_next(unreachable);
    pass(60s);

    EXPECT_EQ(observer->delayed, (Counts{1, 2, 3, 4}));
    EXPECT_EQ(alerts(), Texts{"1 stuck after 4"});
}

TEST_F(DeadLetterAsideTest, OneThatIsGivenUpByCloseHasNotFailed) {
    begin();
    sink.fail_next(too_large, 2);
    send("too large");
    sink.hold();
    pass(60s);

    queue->close();
    run();

    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(observer->delayed, Counts{1});
}

} // namespace
} // namespace velostream
