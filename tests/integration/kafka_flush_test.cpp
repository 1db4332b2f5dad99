// SPDX-License-Identifier: Apache-2.0
// Waiting for the end of everything that is in progress.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <thread>

#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

class FlushTest : public ProducerTest {
  protected:
    // A record in flight that nobody waits for any more, and a client that has nothing to say for some seconds.
    void give_up_a_send(Producer& producer, Duration answer_after) {
        run(io, [&]() -> asio::awaitable<void> {
            EXPECT_TRUE(co_await producer.send(record)); // connected
        });
        cluster.set_round_trip_time(answer_after);
        asio::cancellation_signal signal;
        producer.async_send(record, asio::bind_cancellation_slot(signal.slot(), asio::detached));
        run(io, [&]() -> asio::awaitable<void> {
            EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().in_flight == 1; }));
        });
        signal.emit(asio::cancellation_type::terminal);
        io.restart();
        io.run();
        ASSERT_EQ(producer.get_stats().in_flight, 1U);
        io.restart();
    }

    const Record record{"t", "k", "v"};
};

TEST_F(FlushTest, WithoutAnExecutorEndsOnTheProducers) {
    Producer producer{io.get_executor(), config()};
    std::optional<std::thread::id> ended_on;
    producer.async_flush([&](const boost::system::error_code&) { ended_on = std::this_thread::get_id(); });

    EXPECT_FALSE(ended_on);
    io.run();

    EXPECT_EQ(ended_on, std::this_thread::get_id());
}

TEST_F(FlushTest, ThatBeginsLaterThanItWasMadeEnds) {
    Producer producer{io.get_executor(), config()};
    auto flush = producer.async_flush(asio::deferred);
    give_up_a_send(producer, 300ms);

    std::optional<boost::system::error_code> ended;
    std::move(flush)([&](boost::system::error_code code) { ended = code; });
    io.run_for(30s);

    EXPECT_EQ(ended, boost::system::error_code{});
    EXPECT_EQ(producer.get_stats().in_flight, 0U);
}

TEST_F(FlushTest, ThatIsCancelledOrNeverBegunDoesNotKeepTheContextRunning) {
    Producer producer{io.get_executor(), config()};
    give_up_a_send(producer, 60s);
    static_cast<void>(producer.async_flush(asio::deferred));
    io.run_for(30s);
    EXPECT_TRUE(io.stopped());

    std::optional<boost::system::error_code> ended;
    asio::cancellation_signal signal;
    producer.async_flush(
        asio::bind_cancellation_slot(signal.slot(), [&](boost::system::error_code code) { ended = code; }));
    signal.emit(asio::cancellation_type::terminal);
    io.restart();
    io.run_for(30s);

    EXPECT_EQ(ended, asio::error::operation_aborted);
    EXPECT_TRUE(io.stopped());
}

TEST_F(FlushTest, OfAProducerThatWasClosedHasNothingToWaitFor) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        cluster.all_brokers_down();
        std::optional<Result<Delivery>> sent;
        producer.async_send(record, [&](Result<Delivery> result) { sent = std::move(result); });

        co_await producer.close(0s);
        co_await producer.async_flush(asio::use_awaitable);

        EXPECT_EQ(producer.get_stats().in_flight, 0U);
        EXPECT_EQ(producer.get_stats().in_flight_bytes, 0U);
        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }));
        EXPECT_EQ(sent->error(), Errc::producer_closed);
    });
}

TEST_F(FlushTest, OfAnotherContextEndsWithTheProducersOwn) {
    cluster.all_brokers_down();
    auto dying = std::make_unique<asio::io_context>(1);
    Producer producer{dying->get_executor(), config()};
    producer.async_send(record, asio::detached);
    std::optional<boost::system::error_code> ended;
    producer.async_flush(asio::bind_executor(io, [&](boost::system::error_code code) { ended = code; }));

    dying.reset();
    io.run_for(20s);

    EXPECT_EQ(ended, asio::error::operation_aborted);
}

// A strand of a context that is gone may not even be destroyed: AddressSanitizer sees who keeps one.
TEST_F(FlushTest, AProducerKeepsNoStrandOfAContextThatIsGone) {
    auto context = std::make_optional<asio::io_context>(1);
    std::optional<Producer> producer;
    producer.emplace(asio::make_strand(*context), config());
    asio::post(producer->get_executor(), [&] { producer->async_send(record, asio::detached); });
    context->run_for(20ms);

    context.reset();
    producer.reset();

    EXPECT_FALSE(producer);
}

} // namespace
} // namespace velostream::kafka
