// SPDX-License-Identifier: Apache-2.0
#include "velostream/record_processor.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>

#include "dead_letter_queue_fixture.hpp"

namespace velostream {
namespace {

using Processed = Result<ProcessedRecord>;

class RecordProcessorTest : public DeadLetterQueueTest {
  protected:
    RecordProcessor<Queue>& processor() {
        if (!made) made.emplace(queue, reprocess);
        return *made;
    }
    // Of a record whose operation fails as often as `failures` says, each time with `error`.
    std::optional<Processed>& process(std::string key, std::string value, int failing, const Error& error,
                                      asio::cancellation_slot slot = {}) {
        auto& kept = *records.emplace_back(std::make_unique<std::pair<std::string, std::string>>(key, value));
        auto& view = *views.emplace_back(std::make_unique<RecordView>(RecordView{
            .topic = "orders", .partition = 3, .offset = offset++, .key = kept.first, .value = kept.second}));
        if (key == "null") view.key = std::nullopt;
        auto& result = *ends.emplace_back(std::make_unique<std::optional<Processed>>());
        failures[value] = failing;
        auto operation = [this, value, error]() -> asio::awaitable<Result<void>> {
            tried.push_back(value);
            if (failures[value]-- > 0) co_return error;
            co_return Result<void>{};
        };
        asio::co_spawn(io, processor().process(view, operation),
                       asio::bind_cancellation_slot(slot, [&result](std::exception_ptr thrown, Processed end) {
                           EXPECT_FALSE(thrown);
                           result = std::move(end);
                       }));
        run();
        return result;
    }
    void pass(Duration by) {
        time.advance(by);
        run();
    }
    using Texts = std::vector<std::string>;

    ReprocessConfig reprocess{.mode = Reprocess::parked, .max_retries = 2, .retry_delay = 10s};
    const Error timeout{Errc::deadline_exceeded, "database"};
    std::optional<RecordProcessor<Queue>> made;
    std::map<std::string, int> failures;
    Texts tried;
    std::int64_t offset = 0;
    std::vector<std::unique_ptr<std::pair<std::string, std::string>>> records;
    std::vector<std::unique_ptr<RecordView>> views;
    std::vector<std::unique_ptr<std::optional<Processed>>> ends;
};

TEST_F(RecordProcessorTest, WhatSucceedsIsDone) {
    const auto& done = process("k", "a", 0, timeout);

    ASSERT_TRUE(done && *done);
    EXPECT_FALSE((*done)->dead_letter);
    EXPECT_TRUE(sink.letters().empty());
}

TEST_F(RecordProcessorTest, NamesTheClassThatTriesAgainInTopics) {
    reprocess.mode = Reprocess::topic;
    try {
        processor();
        FAIL() << "it has no topics";
    } catch (const std::invalid_argument& refused) {
        EXPECT_NE(std::string_view{refused.what()}.find("kafka::RetryTopics"), std::string_view::npos);
    }
}

TEST_F(RecordProcessorTest, SwitchedOffTheFirstFailureIsADeadLetter) {
    reprocess.mode = Reprocess::off;
    const auto& done = process("k", "a", 1, timeout);

    ASSERT_TRUE(done && *done);
    EXPECT_TRUE((*done)->dead_letter);
    ASSERT_EQ(sink.letters().size(), 1u);
    EXPECT_EQ(sink.letters()[0].header("x-dlq-attempts"), "1");
}

TEST_F(RecordProcessorTest, SwitchedOffTheTriesOfTheOperationsOwnRetriesAreKept) {
    reprocess.mode = Reprocess::off;
    RetryExecutor retry{RetryConfig{.max_retries = 3, .backoff_strategy = FixedInterval{10s}}, nullptr, time};
    for (const bool ends_for_good : {false, true}) {
        int tries = 0;
        const RecordView view{.topic = "orders", .partition = 3, .offset = 1};
        auto store = [&]() -> asio::awaitable<Result<void>> {
            co_return ends_for_good && ++tries == 2 ? bad_record : timeout;
        };
        auto operation = [&] { return retry.execute_with_retry(store); };
        asio::co_spawn(io, processor().process(view, operation), [](std::exception_ptr, const Processed&) {});
        run();
        for (int i = 0; i < 3; ++i) pass(10s);

        ASSERT_FALSE(sink.letters().empty());
        const auto letter = sink.letters().back();
        EXPECT_EQ(letter.header("x-dlq-attempts"), ends_for_good ? "2" : "4");
        EXPECT_EQ(letter.header("x-dlq-error-type"), ends_for_good ? "bad_request" : "timeout");
        EXPECT_EQ(std::stoll(letter.header("x-dlq-last-failure-ms").value()) -
                      std::stoll(letter.header("x-dlq-first-failure-ms").value()),
                  ends_for_good ? 10'000 : 30'000);
    }
}

TEST_F(RecordProcessorTest, SwitchedOffAnOperationThatTakesTheContextIsCalledOnceAndWhatItThrowsIsItsError) {
    reprocess.mode = Reprocess::off;
    const RecordView view{.topic = "orders", .partition = 3, .offset = 1};
    auto operation = [&](CallContext& call) -> asio::awaitable<Result<void>> {
        tried.push_back(std::to_string(call.attempt()));
        co_await asio::post(asio::deferred);
        throw std::runtime_error{"no such column"};
    };
    asio::co_spawn(io, processor().process(view, operation), [](std::exception_ptr, const Processed&) {});
    run();

    EXPECT_EQ(tried, Texts{"1"});
    ASSERT_EQ(sink.letters().size(), 1u);
    EXPECT_EQ(sink.letters()[0].header("x-dlq-attempts"), "1");
    EXPECT_EQ(sink.letters()[0].header("__connect.errors.exception.message"), "no such column");
}

TEST_F(RecordProcessorTest, AFailureIsTriedAgainAfterTheDelay) {
    auto& done = process("k", "a", 2, timeout);
    EXPECT_FALSE(done);
    pass(10s - 1ns);
    EXPECT_EQ(tried, Texts{"a"});
    pass(1ns);
    EXPECT_EQ(tried, (Texts{"a", "a"}));
    pass(10s);

    ASSERT_TRUE(done && *done);
    EXPECT_FALSE((*done)->dead_letter);
    EXPECT_EQ(tried.size(), 3u);
}

TEST_F(RecordProcessorTest, WhatKeepsFailingIsADeadLetterOfItsLastErrorWithAllTries) {
    auto& done = process("k", "a", 99, timeout);
    pass(10s);
    pass(10s);

    ASSERT_TRUE(done && *done);
    EXPECT_TRUE((*done)->dead_letter);
    ASSERT_EQ(sink.letters().size(), 1u);
    EXPECT_EQ(sink.letters()[0].header("x-dlq-attempts"), "3");
    EXPECT_EQ(sink.letters()[0].header("x-dlq-error-type"), "timeout");
    EXPECT_EQ(sink.letters()[0].value, "a");
}

TEST_F(RecordProcessorTest, ADeadLetterSaysWhenTheFirstTryFailedAndWhenTheLast) {
    const auto time_in = [this](const char* name) {
        return std::chrono::milliseconds{std::stoll(sink.letters().back().header(name).value())};
    };
    const auto before = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    process("k", "a", 99, timeout);
    pass(10s);
    pass(10s);

    ASSERT_EQ(sink.letters().size(), 1u);
    const auto last = time_in("x-dlq-last-failure-ms");
    EXPECT_GE(last, before.time_since_epoch());
    EXPECT_EQ(last - time_in("x-dlq-first-failure-ms"), 20s);

    process("l", "b", 99, bad_record);
    ASSERT_EQ(sink.letters().size(), 2u);
    EXPECT_EQ(time_in("x-dlq-first-failure-ms"), time_in("x-dlq-last-failure-ms")) << "one try";
}

TEST_F(RecordProcessorTest, WhereALaterTryFailsForGoodTheFirstFailureIsSaidToo) {
    int tries = 0;
    const RecordView view{.topic = "orders", .partition = 3, .offset = 1};
    auto operation = [&]() -> asio::awaitable<Result<void>> { co_return ++tries == 1 ? timeout : bad_record; };
    asio::co_spawn(io, processor().process(view, operation), [](std::exception_ptr, const Processed&) {});
    run();
    pass(10s);

    ASSERT_EQ(sink.letters().size(), 1u);
    const auto letter = sink.letters().back();
    EXPECT_EQ(letter.header("x-dlq-attempts"), "2");
    EXPECT_EQ(std::stoll(letter.header("x-dlq-last-failure-ms").value()) -
                  std::stoll(letter.header("x-dlq-first-failure-ms").value()),
              10'000);
}

TEST_F(RecordProcessorTest, WhatNoOtherTryCanMendHasNone) {
    const auto& done = process("k", "a", 99, bad_record);

    ASSERT_TRUE(done && *done);
    EXPECT_EQ(tried, Texts{"a"});
    EXPECT_EQ(sink.letters().size(), 1u);
}

TEST_F(RecordProcessorTest, ParkedRecordsOfAKeyKeepTheirOrderAndOtherKeysGoOn) {
    auto& first = process("k", "a", 1, timeout);
    auto& second = process("k", "b", 0, timeout);
    auto& other = process("l", "c", 0, timeout);
    auto& without = process("null", "d", 0, timeout);
    auto& third = process("k", "e", 0, timeout);

    EXPECT_FALSE(first);
    EXPECT_FALSE(second);
    EXPECT_TRUE(other && without);
    EXPECT_EQ(tried, (Texts{"a", "c", "d"}));
    pass(10s);
    EXPECT_TRUE(first && second && third);
    EXPECT_EQ(tried, (Texts{"a", "c", "d", "a", "b", "e"}));
}

TEST_F(RecordProcessorTest, InLineAllOfThePartitionWaits) {
    reprocess.mode = Reprocess::in_line;
    process("k", "a", 1, timeout);
    auto& other = process("l", "b", 0, timeout);

    EXPECT_FALSE(other);
    pass(10s);
    EXPECT_TRUE(other);
    EXPECT_EQ(tried, (Texts{"a", "a", "b"}));
}

TEST_F(RecordProcessorTest, ThePlaceInTheOrderIsTakenByTheCall) {
    const RecordView one{.topic = "orders", .partition = 3, .offset = 1, .key = "k"};
    const auto operation = [this](std::string name) {
        return [this, name]() -> asio::awaitable<Result<void>> {
            tried.push_back(name);
            co_return Result<void>{};
        };
    };
    auto first = processor().process(one, operation("first"));
    auto second = processor().process(one, operation("second"));

    asio::co_spawn(io, std::move(second), [](std::exception_ptr, const Processed&) {});
    run();
    EXPECT_EQ(tried, Texts{});
    asio::co_spawn(io, std::move(first), [](std::exception_ptr, const Processed&) {});
    run();
    EXPECT_EQ(tried, (Texts{"first", "second"}));
    {
        const auto never_awaited = processor().process(one, operation("never"));
    }
    EXPECT_TRUE(process("k", "later", 0, timeout)) << "it holds up nobody";
}

TEST_F(RecordProcessorTest, WhoeverIsCancelledLetsThoseBehindGoOn) {
    asio::cancellation_signal cancel_first, cancel_second;
    auto& first = process("k", "a", 99, timeout, cancel_first.slot());
    auto& second = process("k", "b", 0, timeout, cancel_second.slot());
    auto& third = process("k", "c", 0, timeout);

    cancel_second.emit(asio::cancellation_type::terminal);
    run();
    ASSERT_TRUE(second);
    EXPECT_EQ(second->error(), Errc::cancelled);
    EXPECT_FALSE(third);
    cancel_first.emit(asio::cancellation_type::terminal);
    run();

    ASSERT_TRUE(first && third);
    EXPECT_EQ(first->error(), Errc::cancelled);
    EXPECT_TRUE(*third);
    EXPECT_EQ(tried, (Texts{"a", "c"}));
    EXPECT_TRUE(sink.letters().empty()) << "a cancelled record is no dead letter";
}

TEST_F(RecordProcessorTest, WhoeverWasCancelledBeforeDoesNotWaitForATurn) {
    const auto& first = process("k", "a", 99, timeout);
    asio::cancellation_signal cancel;
    std::optional<Processed> end;
    const RecordView behind{.topic = "orders", .partition = 3, .offset = 7, .key = "k"};
    const auto goes_on_although_cancelled = [&]() -> asio::awaitable<void> {
        co_await asio::this_coro::throw_if_cancelled(false);
        asio::steady_timer never{io, asio::steady_timer::time_point::max()};
        auto waiting = never.async_wait(asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
        auto operation = [this]() -> asio::awaitable<Result<void>> {
            tried.push_back("behind");
            co_return Result<void>{};
        };
        auto processing = processor().process(behind, operation);
        end = co_await std::move(processing);
    };
    asio::co_spawn(io, goes_on_although_cancelled, asio::bind_cancellation_slot(cancel.slot(), asio::detached));
    run();

    cancel.emit(asio::cancellation_type::terminal);
    run();

    ASSERT_TRUE(end);
    EXPECT_EQ(end->error(), Errc::cancelled);
    EXPECT_FALSE(first);
    EXPECT_EQ(tried, Texts{"a"});
}

TEST_F(RecordProcessorTest, WhatAnOperationThrowsIsItsError) {
    const RecordView odd{.topic = "orders", .partition = 3, .offset = 1, .key = "k"};
    std::optional<Processed> end;
    auto operation = []() -> asio::awaitable<Result<void>> {
        throw std::runtime_error{"no such article"};
        co_return Result<void>{};
    };
    asio::co_spawn(io, processor().process(odd, operation), [&](const std::exception_ptr& thrown, Processed ended) {
        EXPECT_FALSE(thrown);
        end = std::move(ended);
    });
    run();

    ASSERT_TRUE(end && *end);
    ASSERT_EQ(sink.letters().size(), 1u);
    EXPECT_EQ(sink.letters()[0].header("__connect.errors.exception.message"), "no such article");
    EXPECT_TRUE(process("k", "next", 0, timeout)) << "and the next of its key goes on";
}

TEST_F(RecordProcessorTest, TheSameKeyInAnotherPartitionOrTopicIsAnother) {
    const auto lane = [](std::string_view topic, std::int32_t partition, NullableBytes key) {
        return detail::lane_of({.topic = topic, .partition = partition, .key = key}, Reprocess::parked);
    };
    EXPECT_EQ(lane("orders", 3, "k"), lane("orders", 3, "k"));
    EXPECT_NE(lane("orders", 3, "k"), lane("orders", 4, "k"));
    EXPECT_NE(lane("orders", 3, "k"), lane("returns", 3, "k"));
    EXPECT_NE(lane("orders", 3, ""), lane("orders", 3, "k"));
    EXPECT_TRUE(lane("orders", 3, "")) << "an empty key is one";
    EXPECT_FALSE(lane("orders", 3, std::nullopt));
}

TEST_F(RecordProcessorTest, InLineAPartitionIsOneLaneWhateverTheKeys) {
    const auto lane = [](std::int32_t partition, NullableBytes key) {
        return detail::lane_of({.topic = "orders", .partition = partition, .key = key}, Reprocess::in_line);
    };
    ASSERT_TRUE(lane(3, std::nullopt));
    EXPECT_EQ(lane(3, std::nullopt), lane(3, "k"));
    EXPECT_NE(lane(3, "k"), lane(4, "k"));
    EXPECT_FALSE(detail::lane_of({.topic = "orders", .partition = 3}, Reprocess::off));
}

TEST_F(RecordProcessorTest, WhatIsNotTheRecordsFaultIsHeld) {
    const auto& held = process("k", "a", 99, Error{Errc::circuit_open});

    ASSERT_TRUE(held);
    EXPECT_EQ(held->error(), Errc::record_not_to_blame);
}

TEST_F(RecordProcessorTest, ProcessedRecordsAreToldToTheFloodGuard) {
    config.flood_guard.max_in_a_row = 2;
    Queue guarded{config, sink, {}, time};
    RecordProcessor own{guarded, ReprocessConfig{}};
    int number = 0;
    for (int round = 0; round < 10; ++round) {
        for (const bool fails : {true, false}) {
            std::optional<Processed> end;
            const RecordView view{.topic = "orders", .partition = 3, .offset = number++};
            auto operation = [&, fails]() -> asio::awaitable<Result<void>> {
                if (fails) co_return timeout;
                co_return Result<void>{};
            };
            asio::co_spawn(io, own.process(view, operation),
                           [&](std::exception_ptr, Processed ended) { end = std::move(ended); });
            run();
            ASSERT_TRUE(end && *end) << number;
        }
    }
    EXPECT_EQ(sink.letters().size(), 10u);
}

TEST_F(RecordProcessorTest, AnIllegalConfigIsRefused) {
    reprocess.retry_delay = 0s;
    EXPECT_THROW(processor(), std::invalid_argument);
}

} // namespace
} // namespace velostream
