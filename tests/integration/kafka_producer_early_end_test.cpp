// SPDX-License-Identifier: Apache-2.0
// Sends that end before their report: cancelled, or at their deadline.
#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <stdexcept>

#include "kafka_producer_fixture.hpp"
#include "velostream/async/wait_queue.hpp"

namespace velostream::kafka {
namespace {

using ProducerEarlyEndTest = ProducerTest;

// Runs until `condition()` holds, over what handlers throw: how often they did.
template <std::predicate Condition>
int exceptions_until(asio::io_context& io, Condition condition) {
    int thrown = 0;
    const auto until = now() + 20s;
    while (!condition() && now() < until) {
        io.restart();
        try {
            io.run_one_until(until);
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    EXPECT_TRUE(condition());
    return thrown;
}

TEST_F(ProducerEarlyEndTest, ACancelledSendLeavesNothingBehindOnceTheClientLetsGo) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        EXPECT_TRUE(co_await producer.send(record));
        std::optional<Result<Delivery>> sent;
        asio::cancellation_signal signal;
        producer.async_send(record, asio::bind_cancellation_slot(
                                        signal.slot(), [&](Result<Delivery> result) { sent = std::move(result); }));

        signal.emit(asio::cancellation_type::total);
        EXPECT_EQ(producer.get_stats().in_flight, 1U); // before anything that has come meanwhile is looked at
        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }));

        EXPECT_EQ(sent->error(), Errc::cancelled);
        EXPECT_EQ(*sent->error().inner(), Errc::send_outcome_unknown);
        co_await producer.async_flush(asio::use_awaitable);
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
        EXPECT_EQ(producer.get_stats().in_flight_bytes, 0U);
        EXPECT_EQ(producer.get_stats().late_deliveries, 1U);
    });
}

TEST_F(ProducerEarlyEndTest, TheSlotOfACallCancelsItsSend) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        cluster.all_brokers_down();
        const Record record{"t", "k", "v"};
        asio::cancellation_signal signal;
        CallContext call;
        call.set_cancellation_slot(signal.slot());
        std::optional<Result<Delivery>> sent;
        producer.async_send(record, call, [&](Result<Delivery> result) { sent = std::move(result); });

        signal.emit(asio::cancellation_type::terminal);

        EXPECT_TRUE(co_await eventually([&] { return sent.has_value(); }));
        EXPECT_EQ(sent->error(), Errc::cancelled);
    });
}

TEST_F(ProducerEarlyEndTest, ASendThatHasEndedIsInNoCancellationSlotAnyMoreButTheOneThatEndedIt) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        asio::cancellation_signal of_caller, of_call;
        CallContext call;
        call.set_cancellation_slot(of_call.slot());
        for (const bool is_cancelled : {false, true}) {
            bool has_ended = false;
            auto handler = [&](const Result<Delivery>&) { has_ended = true; };
            producer.async_send(record, call, asio::bind_cancellation_slot(of_caller.slot(), handler));
            EXPECT_TRUE(of_caller.slot().has_handler() && of_call.slot().has_handler());
            if (is_cancelled) of_call.emit(asio::cancellation_type::terminal);

            EXPECT_TRUE(co_await eventually([&] { return has_ended; }));

            EXPECT_FALSE(of_caller.slot().has_handler()) << is_cancelled;
            EXPECT_EQ(of_call.slot().has_handler(), is_cancelled);
        }
    });
}

// What is in a slot after an emission is the business of whoever uses the slot next.
TEST_F(ProducerEarlyEndTest, ASlotThatSomethingElseUsesMeanwhileIsLeftAlone) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        for (const bool is_cancelled : {false, true}) {
            asio::cancellation_signal signal;
            bool has_ended = false, is_called = false;
            producer.async_send(record, asio::bind_cancellation_slot(
                                            signal.slot(), [&](const Result<Delivery>&) { has_ended = true; }));
            if (is_cancelled) signal.emit(asio::cancellation_type::terminal);
            signal.slot().assign([&](asio::cancellation_type) { is_called = true; });

            EXPECT_TRUE(co_await eventually([&] { return has_ended; }));

            signal.emit(asio::cancellation_type::terminal);
            EXPECT_TRUE(is_called) << is_cancelled;
        }
    });
}

TEST_F(ProducerEarlyEndTest, ASignalMayEndBeforeItsSend) {
    const auto records = numbered("t", 2);
    std::vector<Result<Delivery>> sent;
    const auto into = [&](Result<Delivery> result) { sent.push_back(std::move(result)); };
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        for (const bool is_cancelled : {false, true}) {
            const auto of_caller = std::make_unique<asio::cancellation_signal>();
            const auto of_call = std::make_unique<asio::cancellation_signal>();
            CallContext call;
            call.set_cancellation_slot(of_call->slot());
            producer.async_send(records[0], call, asio::bind_cancellation_slot(of_caller->slot(), into));
            if (is_cancelled) of_caller->emit(asio::cancellation_type::terminal);
        }

        EXPECT_TRUE(co_await eventually([&] { return sent.size() == 2; }));
    });

    EXPECT_TRUE(std::ranges::any_of(sent, [](const auto& result) { return bool{result}; }));
    EXPECT_TRUE(std::ranges::any_of(sent, [](const auto& result) { return result.error() == Errc::cancelled; }));
}

TEST_F(ProducerEarlyEndTest, ASignalMayBeEmittedWhenContextAndProducerHaveGone) {
    cluster.all_brokers_down();
    const Record record{"t", "k", "v"};
    bool was_called = false;
    const auto handler = [&](const Result<Delivery>&) { was_called = true; };
    asio::cancellation_signal of_caller, of_call;
    CallContext call;
    call.set_cancellation_slot(of_call.slot());
    {
        auto dying = std::make_unique<asio::io_context>(1);
        Producer producer{dying->get_executor(), config()};
        producer.async_send(record, call, asio::bind_cancellation_slot(of_caller.slot(), handler));
        dying.reset();
        of_call.emit(asio::cancellation_type::terminal); // and while the producer is there
    }

    of_caller.emit(asio::cancellation_type::terminal);
    of_call.emit(asio::cancellation_type::terminal);

    EXPECT_FALSE(was_called);
}

// A signal inside of a coroutine ends with the context that destroys the coroutine, before its send or after it.
TEST_F(ProducerEarlyEndTest, AContextMayTakeTheSignalsOfItsSendsWithIt) {
    cluster.all_brokers_down();
    const Record record{"t", "k", "v"};
    auto dying = std::make_unique<asio::io_context>(1);
    Producer producer{dying->get_executor(), config()};
    WaitQueue forever;
    const auto sending = [&]() -> asio::awaitable<void> {
        asio::cancellation_signal of_caller, of_call;
        CallContext call;
        call.set_cancellation_slot(of_call.slot());
        producer.async_send(record, call,
                            asio::bind_cancellation_slot(of_caller.slot(), [](const Result<Delivery>&) {}));
        co_await forever.async_wait(asio::use_awaitable);
    };
    asio::co_spawn(*dying, sending(), asio::detached);
    dying->poll();
    ASSERT_EQ(forever.size(), 1U);

    dying.reset();

    EXPECT_EQ(forever.size(), 0U);
}

TEST_F(ProducerEarlyEndTest, AHandlerThatAContextTakesWithItMaySendOnItsWayOut) {
    cluster.all_brokers_down();
    const Record record{"t", "k", "v"};
    auto dying = std::make_unique<asio::io_context>(1);
    Producer producer{dying->get_executor(), config()};
    int sent = 0;
    const auto send_more = [&](void*) {
        for (; sent < 100; ++sent) producer.async_send(record, asio::detached);
    };
    for (int i = 0; i < 8; ++i)
        producer.async_send(record, [last = std::shared_ptr<void>{nullptr, send_more}](const Result<Delivery>&) {});

    dying.reset();

    EXPECT_EQ(sent, 100);
}

TEST_F(ProducerEarlyEndTest, AFlushWaitsForACancelledSendWhateverElseTheClientHasToSay) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        EXPECT_TRUE(co_await producer.send(record));
        cluster.set_round_trip_time(200ms);
        asio::cancellation_signal signal;
        producer.async_send(record, asio::bind_cancellation_slot(signal.slot(), [](const Result<Delivery>&) {}));
        signal.emit(asio::cancellation_type::terminal);
        bool is_flushed = false;
        producer.async_flush(asio::bind_executor(io, [&](const boost::system::error_code&) { is_flushed = true; }));

        cluster.all_brokers_down();
        EXPECT_TRUE(co_await eventually([&] { return !producer.get_stats().last_problem.empty(); }));
        EXPECT_FALSE(is_flushed);
        cluster.set_round_trip_time(0ms);
        cluster.all_brokers_up();

        EXPECT_TRUE(co_await eventually([&] { return is_flushed; }));
        EXPECT_EQ(producer.get_stats().in_flight, 0U);
    });
}

TEST_F(ProducerEarlyEndTest, ACancelledSendDoesNotKeepTheContextRunningUntilItsReport) {
    Producer producer{io.get_executor(), config()};
    const Record record{"t", "k", "v"};
    run(io, [&]() -> asio::awaitable<void> { EXPECT_TRUE(co_await producer.send(record)); });
    cluster.set_round_trip_time(60s); // nothing comes that would end a wait for events
    asio::cancellation_signal signal;
    producer.async_send(record, asio::bind_cancellation_slot(signal.slot(), [](const Result<Delivery>&) {}));
    signal.emit(asio::cancellation_type::terminal);

    io.run_for(20s);

    EXPECT_TRUE(io.stopped());
    EXPECT_EQ(producer.get_stats().in_flight, 1U);
}

// The first cancellation ends the send and frees its place for another one, before the slot can be cleared.
TEST_F(ProducerEarlyEndTest, ASecondCancellationDoesNotHitTheNextSend) {
    auto one_at_a_time = config();
    one_at_a_time.max_in_flight = 1;
    Producer producer{io.get_executor(), one_at_a_time};
    const auto records = numbered("t", 3);
    std::vector<std::optional<Result<Delivery>>> sent(records.size());
    const auto into = [&](std::size_t i) {
        return [&sent, i](Result<Delivery> result) { sent[i] = std::move(result); };
    };
    asio::cancellation_signal signal;
    producer.async_send(records[0], into(0));
    producer.async_send(records[1], asio::bind_cancellation_slot(signal.slot(), into(1))); // waits for its turn
    signal.emit(asio::cancellation_type::total);
    producer.async_send(records[2], into(2));

    signal.emit(asio::cancellation_type::total);

    io.run();
    EXPECT_TRUE(sent[0] && *sent[0]);
    EXPECT_TRUE(sent[1] && sent[1]->error() == Errc::cancelled);
    EXPECT_TRUE(sent[2] && *sent[2]);
}

// In flight is a small record, behind it waits a large one, and behind that one a small one for which there is room.
class LargeRecordTest : public ProducerTest {
  protected:
    LargeRecordTest() {
        limited.max_in_flight_bytes = 2 * small[0].size_bytes();
        cluster.all_brokers_down();
    }
    // The large one ends as `given_up` when it is cancelled by `cancel`, or when its call ends; then its handler may
    // throw.
    void send_all(Producer& producer, const CallContext& call) {
        const auto ignore = [](const Result<Delivery>&) {};
        producer.async_send(small[0], ignore);
        producer.async_send(large, call, asio::bind_cancellation_slot(cancel.slot(), [this](Result<Delivery> result) {
                                given_up = std::move(result);
                                if (is_throwing) throw std::runtime_error{"thrown"};
                            }));
        producer.async_send(small[1], ignore);
        EXPECT_EQ(producer.get_stats().in_flight, 1U);
        EXPECT_EQ(producer.get_stats().waiting, 2U);
    }
    void expect_the_small_ones_in_flight(const Producer& producer) {
        EXPECT_EQ(producer.get_stats().in_flight, 2U);
        EXPECT_EQ(producer.get_stats().waiting, 0U);
    }

    const std::vector<Record> small = numbered("t", 2);
    const Record large{"t", "k", std::string(1000, 'x')};
    ProducerConfig limited = config();
    asio::cancellation_signal cancel;
    std::optional<Result<Delivery>> given_up;
    bool is_throwing = false;
};

TEST_F(LargeRecordTest, ThatTimesOutLetsThoseBehindItGo) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), limited};
        const CallContext call{now() + 50ms};
        send_all(producer, call);

        EXPECT_TRUE(co_await eventually([&] { return given_up.has_value(); }));

        EXPECT_FALSE(*given_up);
        expect_the_small_ones_in_flight(producer);
    });
}

TEST_F(LargeRecordTest, ThatIsCancelledLetsThoseBehindItGo) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), limited};
        const CallContext call;
        send_all(producer, call);

        cancel.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return given_up.has_value(); }));

        EXPECT_EQ(given_up->error(), Errc::cancelled);
        EXPECT_TRUE(co_await eventually([&] { return producer.get_stats().waiting == 0; }));
        expect_the_small_ones_in_flight(producer);
    });
}

TEST_F(LargeRecordTest, ThatTimesOutLetsThoseBehindItGoWhateverItsHandlerThrows) {
    is_throwing = true;
    Producer producer{io.get_executor(), limited};
    const CallContext call{now() + 50ms};
    send_all(producer, call);

    EXPECT_EQ(exceptions_until(io, [&] { return given_up.has_value(); }), 1);

    expect_the_small_ones_in_flight(producer);
}

TEST_F(LargeRecordTest, ThatIsCancelledLetsThoseBehindItGoWhateverItsHandlerThrows) {
    is_throwing = true;
    Producer producer{io.get_executor(), limited};
    const CallContext call;
    send_all(producer, call);

    cancel.emit(asio::cancellation_type::terminal);
    EXPECT_FALSE(given_up); // no user code inside of an emission
    EXPECT_EQ(exceptions_until(io, [&] { return given_up.has_value(); }), 1);

    expect_the_small_ones_in_flight(producer);
}

TEST_F(ProducerEarlyEndTest, AHandlerThatThrowsAtItsDeadlineLetsTheNextDeadlineCome) {
    cluster.all_brokers_down();
    Producer producer{io.get_executor(), config()};
    const auto records = numbered("t", 3);
    const auto soon = now() + 50ms;
    int ended = 0;
    for (const auto& [record, deadline] : {std::pair{0, soon}, {1, soon}, {2, soon + 100ms}})
        producer.async_send(records[static_cast<std::size_t>(record)], CallContext{deadline},
                            [&](const Result<Delivery>&) {
                                ++ended;
                                throw std::runtime_error{"thrown"};
                            });

    EXPECT_EQ(exceptions_until(io, [&] { return ended == 3; }), 3);
}

// The client never has room for the record, so nothing else ends the send, and the close with it.
TEST_F(ProducerEarlyEndTest, ACloseEndsWithTheLastSendWhateverItsHandlerThrows) {
    auto settings = config();
    settings.properties = {{"queue.buffering.max.kbytes", "1"}};
    const Record large{"t", "k", std::string(2'000, 'v')};
    for (const bool is_cancelled : {false, true}) {
        Producer producer{io.get_executor(), settings};
        asio::cancellation_signal cancel;
        const CallContext call{is_cancelled ? CallContext::no_deadline : now() + 50ms};
        producer.async_send(large, call, asio::bind_cancellation_slot(cancel.slot(), [](const Result<Delivery>&) {
                                throw std::runtime_error{"thrown"};
                            }));
        bool is_closed = false;
        asio::co_spawn(io, producer.close(Duration::max()), [&](const std::exception_ptr&) { is_closed = true; });
        io.poll();
        EXPECT_FALSE(is_closed);

        if (is_cancelled) cancel.emit(asio::cancellation_type::terminal);

        EXPECT_EQ(exceptions_until(io, [&] { return is_closed; }), 1) << is_cancelled;
    }
}

} // namespace
} // namespace velostream::kafka
