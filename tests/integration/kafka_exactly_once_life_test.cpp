// SPDX-License-Identifier: Apache-2.0
// Loops that are cancelled, or whose processor or execution context ends before they do.
#include <dlfcn.h>

#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <mutex>
#include <set>
#include <thread>

#include "kafka_exactly_once_fixture.hpp"
#include "velostream/async/wait_queue.hpp"

namespace {

// Which threads made the calls that block.
std::mutex calls_mutex;
std::set<std::thread::id> calling_threads;
std::set<std::string> calls;

template <class Function>
Function of_the_library(Function, const char* name) {
    const std::scoped_lock lock{calls_mutex};
    calling_threads.insert(std::this_thread::get_id());
    calls.insert(name);
    return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

} // namespace

// In place of the client library's own, which they call.
extern "C" {

rd_kafka_error_t* rd_kafka_init_transactions(rd_kafka_t* client, int at_most) {
    return of_the_library(&rd_kafka_init_transactions, "rd_kafka_init_transactions")(client, at_most);
}
rd_kafka_error_t* rd_kafka_begin_transaction(rd_kafka_t* client) {
    return of_the_library(&rd_kafka_begin_transaction, "rd_kafka_begin_transaction")(client);
}
rd_kafka_error_t* rd_kafka_send_offsets_to_transaction(rd_kafka_t* client,
                                                       const rd_kafka_topic_partition_list_t* offsets,
                                                       const rd_kafka_consumer_group_metadata_t* group, int at_most) {
    return of_the_library(&rd_kafka_send_offsets_to_transaction, "rd_kafka_send_offsets_to_transaction")(
        client, offsets, group, at_most);
}
rd_kafka_error_t* rd_kafka_commit_transaction(rd_kafka_t* client, int at_most) {
    return of_the_library(&rd_kafka_commit_transaction, "rd_kafka_commit_transaction")(client, at_most);
}
rd_kafka_error_t* rd_kafka_abort_transaction(rd_kafka_t* client, int at_most) {
    return of_the_library(&rd_kafka_abort_transaction, "rd_kafka_abort_transaction")(client, at_most);
}

} // extern "C"

namespace velostream::kafka {
namespace {

class ExactlyOnceLifeTest : public ExactlyOnceTest {
  protected:
    // Until it is cancelled, or for ever.
    static std::function<asio::awaitable<Result<void>>(std::string)> hanging() {
        return [](std::string) -> asio::awaitable<Result<void>> {
            co_await pause_for(1h);
            co_return Result<void>{};
        };
    }

    asio::awaitable<void> cancel(Loop& loop) {
        loop.cancel.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_EQ(loop.ended->error(), Errc::cancelled) << loop.ended->error();
    }

    // A later loop of the same processor commits all `count` records.
    asio::awaitable<void> goes_on(ExactlyOnceProcessor& copier, std::int64_t count) {
        Loop loop;
        start(copier, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == count; }, 40s)) << committed(copier);
        copier.stop();
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_TRUE(*loop.ended) << loop.ended->error();
        co_await copier.close();
    }

    // A loop on a context of its own, which is destroyed when `is_time(processor)` holds.
    template <class Handler, class Condition>
    void end_the_context_when(Condition is_time, Handler handler, const ExactlyOnceConfig& settings) {
        std::optional<asio::io_context> context{1};
        ExactlyOnceProcessor copier{context->get_executor(), settings};
        asio::co_spawn(*context, copier.for_each({}, handler), asio::detached);
        const auto until = now() + 20s;
        while (!is_time(copier) && now() < until) context->run_one_for(5ms);
        ASSERT_TRUE(is_time(copier));

        context.reset();

        EXPECT_FALSE(copier.get_executor()); // nothing of the context is left in it
    }

    // Ends a processor while the answer to what it has asked in the background lies before it: it reads that
    // afterwards.
    template <class Condition>
    void end_the_processor_before_it_reads_an_answer(Condition has_asked, Duration answer_within,
                                                     const ExactlyOnceConfig& settings) {
        std::optional<ExactlyOnceProcessor> copier{std::in_place, io.get_executor(), settings};
        Loop loop;
        start(*copier, loop, copying());
        io.restart();
        const auto until = now() + 20s;
        while (!has_asked(*copier) && now() < until) io.run_one_for(5ms);
        ASSERT_TRUE(has_asked(*copier));
        std::this_thread::sleep_for(answer_within);

        copier.reset();
        io.run_for(1s);

        EXPECT_TRUE(loop.ended);
    }

    // Whether it comes without an answer of anybody, and before any time has passed.
    template <class Condition>
    asio::awaitable<bool> at_once(Condition condition) {
        for (int turns = 0; turns < 100 && !condition(); ++turns) co_await asio::post(io, asio::use_awaitable);
        co_return condition();
    }

    // Until a transaction of the loop has failed: it pauses, and then nobody finds out where to read on.
    asio::awaitable<void> fail_a_transaction(ExactlyOnceProcessor& copier, Loop& loop) {
        start(copier, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().committed > 0; }));
        for (int tries = 0; tries < 100; ++tries) answer_next(offset_fetch, {RD_KAFKA_RESP_ERR_UNKNOWN});
        answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
        co_await write(1);
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().aborted >= 1; })); // long after it was told
        EXPECT_FALSE(loop.ended);
    }

    static ExactlyOnceConfig of_nobody(ExactlyOnceConfig settings) {
        settings.consumer.bootstrap_servers = "localhost:9";
        return settings;
    }

    void set_round_trip(Duration time) {
        rd_kafka_mock_broker_set_rtt(
            brokers.cluster(), 1,
            static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()));
    }
};

TEST_F(ExactlyOnceLifeTest, ALoopThatWaitsForBrokersIsCancelled) {
    run(io, [&]() -> asio::awaitable<void> {
        auto copier = processor([](auto& settings) { settings = of_nobody(settings); });
        Loop loop;
        start(copier, loop, copying());
        co_await pause_for(50ms);

        co_await cancel(loop);
        co_await copier.close(10ms);
    });
}

TEST_F(ExactlyOnceLifeTest, ALoopThatWaitsForRecordsIsCancelled) {
    run(io, [&]() -> asio::awaitable<void> {
        auto copier = processor();
        Loop loop;
        start(copier, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return copier.end_reached(); }));

        co_await cancel(loop);
        co_await write(8);
        co_await goes_on(copier, 8);
    });
}

TEST_F(ExactlyOnceLifeTest, HandlersInProgressAreCancelledAndTheirRecordsReadAgain) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor([](auto& settings) { // all are in one transaction
            settings.commit_interval = 50s;
            settings.max_records = 8;
        });
        Loop loop;
        start(copier, loop, copying(hanging()));
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 8; }));

        co_await cancel(loop);
        EXPECT_EQ(committed(copier), 0);
        co_await goes_on(copier, 8);
        for (const auto& [value, times] : started) EXPECT_EQ(times, 2) << value;
    });
}

TEST_F(ExactlyOnceLifeTest, ACommitGoesOnToItsEndWhenTheLoopIsCancelled) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor([](auto& settings) {
            settings.commit_interval = 50s;
            settings.max_records = 8;
        });
        Loop loop;
        int in_progress = 0;
        start(copier, loop, [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            ++started[std::string{*record.value()}];
            ++in_progress;
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            co_await std::move(sending);
            if (--in_progress == 0 && started.size() == 8) set_round_trip(300ms); // the commit takes a while
        });
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 8 && in_progress == 0; }));

        co_await cancel(loop);
        EXPECT_EQ(committed(copier), 0);
        EXPECT_TRUE(co_await eventually([&] { return committed(copier) == 8; }));
        set_round_trip(0ms);
        co_await goes_on(copier, 8);
        for (const auto& [value, times] : started) EXPECT_EQ(times, 1) << value;
    });
}

TEST_F(ExactlyOnceLifeTest, ALoopThatPausesAfterAFailureIsCancelled) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        for (int failures = 0; failures < 4; ++failures)
            answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
        Loop loop;
        start(copier, loop, copying());
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().aborted >= 1; }));

        co_await cancel(loop);
        rd_kafka_mock_clear_request_errors(brokers.cluster(), offset_commit);
        co_await goes_on(copier, 8);
    });
}

TEST_F(ExactlyOnceLifeTest, ALoopThatPausesAfterAFailureIsStoppedAtOnce) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor();
        Loop loop;
        co_await fail_a_transaction(copier, loop);

        copier.stop();

        EXPECT_TRUE(co_await at_once([&] { return loop.ended.has_value(); }));
        EXPECT_TRUE(loop.ended && *loop.ended);
    });
}

TEST_F(ExactlyOnceLifeTest, ALoopThatPausesAfterAFailureEndsWithItsProcessor) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        std::optional<ExactlyOnceProcessor> copier{processor()};
        Loop loop;
        co_await fail_a_transaction(*copier, loop);

        copier.reset();

        EXPECT_TRUE(co_await at_once([&] { return loop.ended.has_value(); }));
    });
}

TEST_F(ExactlyOnceLifeTest, WhatWasFetchedAndGivenToNobodyIsReadAgainToo) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(200);
        auto copier = processor();
        Loop loop;
        auto fails = [](std::string) -> asio::awaitable<Result<void>> { co_return Error{Errc::operation_failed}; };
        EXPECT_TRUE(co_await eventually([&] { return copier.assignment().size() == 4U; }));
        co_await pause_for(200ms); // all of it has been fetched

        start(copier, loop, copying(fails), {.max_in_flight = 1});
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_EQ(started.size(), 1U); // of one partition: of the others nothing was ever given out

        co_await goes_on(copier, 200);
        EXPECT_EQ(started.size(), 200U);
    });
}

TEST_F(ExactlyOnceLifeTest, AProcessorThatEndsStopsItsLoop) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        std::optional<ExactlyOnceProcessor> copier{processor()};
        Loop loop;
        WaitQueue held;
        start(*copier, loop, [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            ++started["1"];
            co_await held.async_wait(asio::use_awaitable);
            const auto copied = copy_of(record);
            auto sending = transaction.send(copied);
            const auto sent = co_await std::move(sending);
            EXPECT_EQ(sent.error(), Errc::producer_closed);
        });
        EXPECT_TRUE(co_await eventually([&] { return !started.empty(); }));

        copier.reset();
        held.wake_all();

        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_EQ(loop.ended->error(), Errc::consumer_closed); // its record is not committed
    });
}

TEST_F(ExactlyOnceLifeTest, CloseDoesNotWaitLongerThanItMayForAHandlerThatHangs) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        auto copier = processor();
        Loop loop;
        start(copier, loop, copying(hanging()));
        EXPECT_TRUE(co_await eventually([&] { return started.size() == 1; }));

        bool is_closed = false;
        const auto until = now() + 100ms;
        asio::co_spawn(io, copier.close(100ms), [&](const std::exception_ptr&) { is_closed = true; });

        EXPECT_TRUE(co_await holds_soon_after(until, [&] { return is_closed; }));
        EXPECT_TRUE(co_await eventually([&] { return is_closed; }));
        loop.cancel.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
    });
}

TEST_F(ExactlyOnceLifeTest, CloseDoesNotWaitLongerThanItMayForBrokersThatAreDown) {
    run(io, [&]() -> asio::awaitable<void> {
        auto copier = processor([](auto& settings) { settings = of_nobody(settings); });
        Loop loop;
        start(copier, loop, copying());

        bool is_closed = false;
        const auto until = now() + 100ms;
        asio::co_spawn(io, copier.close(100ms), [&](const std::exception_ptr&) { is_closed = true; });

        EXPECT_TRUE(co_await holds_soon_after(until, [&] { return is_closed; }));
        EXPECT_TRUE(co_await eventually([&] { return is_closed; }));
        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));
        EXPECT_TRUE(*loop.ended) << loop.ended->error(); // stopped before it began
    });
}

TEST_F(ExactlyOnceLifeTest, AContextMayEndWhileTheLoopWaitsForBrokers) {
    end_the_context_when([](const auto& copier) { return copier.get_stats().sending.last_problem.empty() == false; },
                         copying(), of_nobody(config()));
}

TEST_F(ExactlyOnceLifeTest, AContextMayEndWhileAHandlerIsInProgress) {
    run(io, [this] { return write(1); });
    auto settings = config();
    end_the_context_when([this](const auto&) { return !started.empty(); }, copying(hanging()), settings);
}

TEST_F(ExactlyOnceLifeTest, AContextMayEndDuringACommit) {
    run(io, [this] { return write(1); });
    bool is_sent = false;
    auto handler = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
        const auto copied = copy_of(record);
        auto sending = transaction.send(copied);
        co_await std::move(sending);
        set_round_trip(1s);
        is_sent = true;
    };
    auto settings = config();
    settings.max_records = 1; // begins when the handler has ended
    end_the_context_when([&](const auto&) { return is_sent; }, handler, settings);
}

TEST_F(ExactlyOnceLifeTest, AContextMayEndDuringAnAbort) {
    run(io, [this] { return write(1); });
    bool has_failed = false;
    auto handler = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<Result<void>> {
        transaction.async_send(copy_of(record), [](const Result<Delivery>&) {});
        set_round_trip(1s);
        has_failed = true;
        co_return Error{Errc::operation_failed};
    };
    end_the_context_when([&](const auto&) { return has_failed; }, handler, config());
}

TEST_F(ExactlyOnceLifeTest, AProcessorMayEndBeforeItKnowsWhereToReadOn) {
    run(io, [&]() -> asio::awaitable<void> { co_await write(8); });
    answer_next(end_transaction, {RD_KAFKA_RESP_ERR_INVALID_TXN_STATE});
    answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});

    end_the_processor_before_it_reads_an_answer([](const auto& copier) { return copier.get_stats().aborted == 1; },
                                                500ms, config());
}

TEST_F(ExactlyOnceLifeTest, AProcessorMayEndBeforeItKnowsWhetherItsProducerIsOpen) {
    const auto has_asked = [begun = now()](const ExactlyOnceProcessor&) { return now() > begun + 100ms; };
    end_the_processor_before_it_reads_an_answer(has_asked, 3s, of_nobody(config())); // it waits for 2 s
}

TEST_F(ExactlyOnceLifeTest, AProcessorMayEndWhileItsCommitIsJustAboutToBegin) {
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(1);
        std::optional<ExactlyOnceProcessor> copier{processor()};
        std::optional<Record> copied;
        bool is_known = false;
        auto throws_over = [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            set_round_trip(300ms); // so that the commit waits for it
            copied.emplace(copy_of(record));
            transaction.async_send(*copied, [&](const Result<Delivery>&) {
                is_known = true;
                asio::post(io, [&] { copier.reset(); }); // before whoever waits for the last report goes on
            });
            co_return;
        };
        Loop loop;
        start(*copier, loop, throws_over);

        EXPECT_TRUE(co_await eventually([&] { return loop.ended.has_value(); }));

        EXPECT_TRUE(is_known);
        co_await pause_for(100ms);
    });
}

TEST_F(ExactlyOnceLifeTest, CallsThatBlockAreMadeOnThreadsThatNothingElseRunsOn) {
    {
        const std::scoped_lock lock{calls_mutex};
        calling_threads.clear();
        calls.clear();
    }
    std::set<std::thread::id> handling_threads{std::this_thread::get_id()};
    run(io, [&]() -> asio::awaitable<void> {
        co_await write(8);
        auto copier = processor();
        answer_next(offset_commit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION}); // one abort
        Loop loop;
        start(copier, loop, [&](const ConsumedRecord& record, Transaction& transaction) -> asio::awaitable<void> {
            handling_threads.insert(std::this_thread::get_id());
            transaction.async_send(
                copy_of(record), [&](const Result<Delivery>&) { handling_threads.insert(std::this_thread::get_id()); });
            co_return;
        });
        EXPECT_TRUE(co_await eventually([&] { return copier.get_stats().records == 8; }));
        co_await copier.close();
    });

    const std::scoped_lock lock{calls_mutex};
    EXPECT_EQ(calls.size(), 5U);
    EXPECT_EQ(handling_threads.size(), 1U);
    EXPECT_FALSE(calling_threads.contains(*handling_threads.begin()));
}

} // namespace
} // namespace velostream::kafka
