// SPDX-License-Identifier: Apache-2.0
// How a queue with a spool ends: nothing is lost, nothing goes on.
#include "dead_letter_spool_fixture.hpp"

namespace velostream {
namespace {

TEST_F(DeadLetterSpoolTest, CloseEndsDeliveryAndKeepsWhatIsThere) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");

    queue->close();
    run();

    EXPECT_TRUE(io.stopped()) << "nothing keeps the context at work";
    pass(60s);
    EXPECT_EQ(arrived(), Texts{});
    begin_again();
    EXPECT_EQ(arrived(), Texts{"a"});
}

TEST_F(DeadLetterSpoolTest, CloseCancelsWhatIsOnItsWay) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");
    sink.hold();
    pass(60s);

    queue->close();
    run();

    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(arrived(), Texts{});
}

TEST_F(DeadLetterSpoolTest, TheQueueMayGoWhileLettersAreOnTheirWay) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");
    sink.hold();
    pass(60s);

    queue.reset();
    sink.release();
    run();

    EXPECT_TRUE(io.stopped());
    EXPECT_LE(arrived().size(), 1u);
}

TEST_F(DeadLetterSpoolTest, TheContextMayGoFirst) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");
    sink.hold();
    pass(60s); // the test ends with a letter on its way, and destroys the context first
    EXPECT_EQ(in_spool(), 1u);
}

} // namespace
} // namespace velostream
