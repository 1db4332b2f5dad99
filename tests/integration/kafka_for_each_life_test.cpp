// SPDX-License-Identifier: Apache-2.0
// Loops whose execution context or consumer ends before they do.
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <optional>

#include "kafka_topic_fixture.hpp"
#include "velostream/async/wait_queue.hpp"

namespace velostream::kafka {
namespace {

// Says when it is destroyed.
class Note {
  public:
    Note(std::vector<std::string>& log, std::string text) : log_(log), text_(std::move(text)) {}
    Note(const Note&) = delete;
    Note& operator=(const Note&) = delete;
    ~Note() { log_.push_back(text_); }

  private:
    std::vector<std::string>& log_;
    const std::string text_;
};

class ForEachLifeTest : public TopicTest {
  protected:
    ForEachLifeTest() {
        context.emplace(1);
        timers.emplace(*context); // older than the consumer, as in most programs
        run(io, [this] { return write(1); });
    }
    ~ForEachLifeTest() override {
        if (context) end_context();
    }

    Consumer consumer_on(const asio::any_io_executor& executor) const { return Consumer{executor, config()}; }

    // A loop with one call in progress and workers without a record.
    asio::awaitable<void> loop_over(Consumer& consumer) {
        const Note caller{log, "caller"};
        auto handler = [this,
                        note = std::make_shared<Note>(log, "handler")](const ConsumedRecord&) -> asio::awaitable<void> {
            const Note call{log, "call"};
            has_started = true;
            co_await pause_for(1h);
        };
        const ForEachOptions options{.max_in_flight = 3};
        co_await consumer.for_each(options, std::move(handler));
    }

    void run_until_a_call_is_in_progress() {
        const auto until = now() + 20s;
        while (!has_started && now() < until) context->run_one_until(std::chrono::steady_clock::time_point{until});
        ASSERT_TRUE(has_started);
    }

    void end_context() {
        timers.reset();
        context.reset();
    }

    // Calls use what the handler has captured, and the handler what its caller has.
    const std::vector<std::string> innermost_first{"call", "handler", "caller"};

    std::vector<std::string> log;
    std::optional<asio::io_context> context;
    std::optional<asio::steady_timer> timers;
    bool has_started = false;
};

TEST_F(ForEachLifeTest, AContextThatEndsDestroysTheCallsThenTheHandlerThenTheCaller) {
    auto consumer = consumer_on(context->get_executor());
    asio::co_spawn(*context, loop_over(consumer), asio::detached);
    run_until_a_call_is_in_progress();

    end_context();

    EXPECT_EQ(log, innermost_first);
}

TEST_F(ForEachLifeTest, AContextThatEndsDestroysALoopOnAStrand) {
    auto consumer = consumer_on(asio::make_strand(*context));
    asio::co_spawn(consumer.get_executor(), loop_over(consumer), asio::detached);
    run_until_a_call_is_in_progress();

    end_context();

    EXPECT_EQ(log, innermost_first);
}

TEST_F(ForEachLifeTest, AContextThatEndsDestroysALoopThatHasNotBegun) {
    auto consumer = consumer_on(context->get_executor());
    asio::co_spawn(*context, loop_over(consumer), asio::detached);
    context->run_one(); // up to the caller's first wait

    end_context();

    EXPECT_EQ(log, (std::vector<std::string>{"handler", "caller"}));
}

TEST_F(ForEachLifeTest, AContextMayEndAfterCloseHasBegun) {
    auto consumer = consumer_on(context->get_executor());
    asio::co_spawn(*context, loop_over(consumer), asio::detached);
    run_until_a_call_is_in_progress();
    const auto closing = [&]() -> asio::awaitable<void> {
        context->stop();
        co_await consumer.close();
    };
    asio::co_spawn(*context, closing(), asio::detached);
    context->run();

    end_context();

    EXPECT_EQ(log, innermost_first);
}

TEST_F(ForEachLifeTest, AConsumerThatEndsStopsItsLoopAndTheCallsInProgressEnd) {
    std::optional<Consumer> consumer{consumer_on(io.get_executor())};
    run(io, [&]() -> asio::awaitable<void> {
        WaitQueue gate;
        auto handler = [&](const ConsumedRecord&) { return gate.async_wait(asio::use_awaitable); };
        const ForEachOptions options{.max_in_flight = 3};
        std::optional<Result<void>> ended;
        asio::co_spawn(io, consumer->for_each(options, handler),
                       [&](const std::exception_ptr&, Result<void> result) { ended = std::move(result); });
        EXPECT_TRUE(co_await eventually([&] { return gate.size() == 1; }));

        consumer.reset();
        co_await asio::post(asio::use_awaitable);
        EXPECT_FALSE(ended);
        gate.wake_all();

        EXPECT_TRUE(co_await eventually([&] { return ended.has_value(); }));
        EXPECT_TRUE(ended && *ended);
    });
}

TEST_F(ForEachLifeTest, AContextMayEndAfterTheConsumer) {
    {
        auto consumer = consumer_on(context->get_executor());
        asio::co_spawn(*context, loop_over(consumer), asio::detached);
        run_until_a_call_is_in_progress();
    }
    EXPECT_THAT(log, ::testing::IsEmpty());

    end_context();

    EXPECT_EQ(log, innermost_first);
}

} // namespace
} // namespace velostream::kafka
