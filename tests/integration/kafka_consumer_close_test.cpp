// SPDX-License-Identifier: Apache-2.0
// Consumers that are closed, once or twice, while the brokers do not answer.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <memory>

#include "kafka_topic_fixture.hpp"

namespace velostream::kafka {
namespace {

class ConsumerCloseTest : public TopicTest {
  protected:
    // A member of the group, whose departure nobody answers until `answer`.
    std::unique_ptr<Consumer> member_without_answers(asio::io_context& context, const std::string& group = "g") {
        auto consumer = std::make_unique<Consumer>(context.get_executor(), config(group));
        run(context, [&]() -> asio::awaitable<void> {
            EXPECT_TRUE(co_await eventually([&] { return !consumer->assignment().empty(); }));
        });
        cluster.set_round_trip_time(60s);
        context.restart();
        return consumer;
    }
    void answer() { cluster.set_round_trip_time(0ms); }
};

TEST_F(ConsumerCloseTest, OneThatIsCancelledLeavesNothingBehind) {
    const auto consumer = member_without_answers(io);
    asio::cancellation_signal signal;
    bool has_ended = false;
    asio::co_spawn(io, consumer->close(60s),
                   asio::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr&) { has_ended = true; }));
    io.poll();
    EXPECT_FALSE(has_ended);

    signal.emit(asio::cancellation_type::terminal);
    io.run_for(20s);

    EXPECT_TRUE(has_ended);
    EXPECT_TRUE(io.stopped()) << "nothing keeps the context running";
    answer();
}

TEST_F(ConsumerCloseTest, EachKeepsItsOwnBound) {
    const auto consumer = member_without_answers(io);
    bool short_one = false, long_one = false;
    asio::co_spawn(io, consumer->close(50ms), [&](const std::exception_ptr&) { short_one = true; });
    asio::co_spawn(io, consumer->close(60s), [&](const std::exception_ptr&) { long_one = true; });

    for (const auto until = now() + 20s; !short_one && now() < until;) io.run_one_until(until);
    EXPECT_TRUE(short_one);
    EXPECT_FALSE(long_one);
    short_one = false; // another one, while the long one waits
    asio::co_spawn(io, consumer->close(50ms), [&](const std::exception_ptr&) { short_one = true; });
    for (const auto until = now() + 20s; !short_one && now() < until;) io.run_one_until(until);
    EXPECT_TRUE(short_one);
    EXPECT_FALSE(long_one);
    answer();
}

// AddressSanitizer sees who keeps a strand, or touches a timer, of a context that is gone.
TEST_F(ConsumerCloseTest, TheContextMayEndAfterwards) {
    auto own = std::make_unique<asio::io_context>(1);
    Consumer consumer{asio::make_strand(*own), config()};
    asio::co_spawn(consumer.get_executor(), consumer.close(), asio::detached);
    own->run();

    own.reset();

    EXPECT_TRUE(consumer.assignment().empty());
}

TEST_F(ConsumerCloseTest, TheContextMayEndMeanwhileAndTheConsumerBefore) {
    for (const bool consumer_ends : {true, false}) {
        auto own = std::make_unique<asio::io_context>(1);
        auto consumer = member_without_answers(*own, consumer_ends ? "consumer first" : "context first");
        bool has_ended = false;
        asio::co_spawn(*own, consumer->close(60s), [&](const std::exception_ptr&) { has_ended = true; });
        own->poll();
        if (consumer_ends) consumer.reset();

        own.reset();

        EXPECT_FALSE(has_ended);
        answer();
    }
}

} // namespace
} // namespace velostream::kafka
