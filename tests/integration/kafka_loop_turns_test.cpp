// SPDX-License-Identifier: Apache-2.0
// What wakes a loop, and when it gives way to another one.
#include <boost/asio/post.hpp>

#include "kafka_topic_fixture.hpp"

namespace velostream::kafka {
namespace {

class LoopTurnsTest : public TopicTest {
  protected:
    // On its own the consumer looks around once a second.
    ConsumerConfig config() const {
        auto settings = TopicTest::config();
        settings.commit_interval = 10s;
        return settings;
    }

    template <class Handler>
    void start_loop(Consumer& consumer, Handler handler) {
        const ForEachOptions options;
        asio::co_spawn(io, consumer.for_each(options, std::move(handler)),
                       [&](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });
    }

    std::optional<Result<void>> ended;
};

TEST_F(LoopTurnsTest, AFailureOfTheClientEndsALoopThatHasNoRecord) {
    auto settings = config();
    settings.offset_reset = OffsetReset::fail; // and the group has committed nothing
    run(io, [&]() -> asio::awaitable<void> {
        Consumer consumer{io.get_executor(), settings};

        start_loop(consumer, [](const ConsumedRecord&) -> asio::awaitable<void> { co_return; });

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        if (ended) {
            EXPECT_EQ(ended->error(), KafkaErrc{RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET}) << ended->error();
        }
        consumer.stop();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await consumer.close();
    });
}

TEST_F(LoopTurnsTest, OthersHaveTheThreadAfterAThousandRecords) {
    constexpr int count = 5'000;
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(count);
        Consumer consumer{io.get_executor(), config()};
        EXPECT_TRUE(co_await eventually([&] { return !consumer.assignment().empty(); }));
        co_await pause_for(500ms); // most of it has been fetched
        int handled = 0, handled_before_others = 0;
        start_loop(consumer, [&](const ConsumedRecord&) -> asio::awaitable<void> {
            if (++handled == 1) asio::post(io, [&] { handled_before_others = handled; });
            co_return;
        });

        EXPECT_TRUE(co_await eventually([&] { return handled == count && handled_before_others > 0; }));

        EXPECT_LE(handled_before_others, 1'000);
        consumer.stop();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await consumer.close();
    });
}

// A thousand records are one turn. Were each turn woken by the consumer's own looking around, forty would take as many
// seconds.
TEST_F(LoopTurnsTest, ALoopThatGivesWayToOthersGoesOnByItself) {
    constexpr int count = 40'000;
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(count);
        Consumer consumer{io.get_executor(), config()};
        int handled = 0;
        start_loop(consumer, [&](const ConsumedRecord&) -> asio::awaitable<void> {
            ++handled;
            co_return;
        });
        EXPECT_TRUE(co_await eventually([&] { return handled > 0; }));

        EXPECT_TRUE(co_await eventually([&] { return handled == count; }));

        consumer.stop();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await consumer.close();
    });
}

TEST_F(LoopTurnsTest, ALoopMayBeginWhereAnotherOneEnds) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        Consumer consumer{io.get_executor(), config()};
        const auto fail = [](const ConsumedRecord&) -> asio::awaitable<Result<void>> {
            co_return Error{Errc::operation_failed};
        };
        const ForEachOptions options;
        bool has_begun = false;
        asio::co_spawn(io, consumer.for_each(options, fail), [&](const std::exception_ptr&, const Result<void>&) {
            start_loop(consumer, fail);
            has_begun = true;
        });

        EXPECT_TRUE(co_await eventually([&] { return has_begun; }));

        consumer.stop();
        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        co_await consumer.close();
    });
}

} // namespace
} // namespace velostream::kafka
