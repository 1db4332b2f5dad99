// SPDX-License-Identifier: Apache-2.0
// What the library allocates per record. Nothing is counted under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cstdint>
#include <new>

#include "kafka_support.hpp"
#include "support/counting_new.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"

namespace velostream::kafka {
namespace {

using velostream::testing::allocations;
using velostream::testing::with_each_request_failing;

constexpr int warm_up = 2000;
constexpr int count = 10'000;

class AllocationsTest : public ::testing::Test {
  protected:
    // `chain()` is begun 100 times; together they send `warm_up + count` records.
    template <class Chain>
    double allocations_per_send(Producer& producer, Chain chain) {
        for (int i = 0; i < 100; ++i) chain();
        io.restart();
        while (producer.get_stats().sent < warm_up && io.run_one() > 0) {
        }
        const auto before = allocations;
        io.run();
        EXPECT_EQ(producer.get_stats().sent, static_cast<std::uint64_t>(left_at_start));
        return static_cast<double>(allocations - before) / count;
    }

  public: // for the chains
    static constexpr int left_at_start = warm_up + count;
    asio::io_context io{1};
    MockCluster cluster{1};
    int left = left_at_start;
    const Record record{"t", "key", "value"};
};

TEST_F(AllocationsTest, ASendWithACallbackAllocatesNothingOfItsOwn) {
    Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    struct Next {
        AllocationsTest& test;
        Producer& producer;
        void operator()(const Result<Delivery>& = Delivery{}) const {
            if (test.left-- > 0) producer.async_send(test.record, *this);
        }
    };
    EXPECT_LT(allocations_per_send(producer, Next{*this, producer}), 0.01);
}

TEST_F(AllocationsTest, ASendInACoroutineAllocatesNothingOfItsOwn) {
    Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    const auto sending = [](AllocationsTest& test, Producer& to) -> asio::awaitable<void> {
        while (test.left-- > 0) co_await to.send(test.record);
    };
    const auto begin = [&] { asio::co_spawn(io, sending(*this, producer), [](const std::exception_ptr&) {}); };
    EXPECT_LT(allocations_per_send(producer, begin), 0.01);
}

// The client reports each of them long after its caller has gone.
TEST_F(AllocationsTest, ASendThatWasGivenUpAndThenFailedLeavesItsPlaceToAnother) {
    cluster.all_brokers_down();
    Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers(), .delivery_timeout = 500ms}};
    constexpr int sends = 1000;
    std::uint64_t taken = 0;
    for (int round = 0; round < 2; ++round) {
        const CallContext soon{now() + 20ms};
        const auto before = allocations;
        for (int i = 0; i < sends; ++i) producer.async_send(record, soon, [](const Result<Delivery>&) {});
        taken = allocations - before;
        producer.async_flush(asio::bind_executor(io, [](const boost::system::error_code&) {}));
        io.restart();
        io.run();
    }

    EXPECT_GT(producer.get_stats().given_up, 0U);
    EXPECT_EQ(producer.get_stats().in_flight, 0U);
    EXPECT_LT(static_cast<double>(taken) / sends, 0.01);
}

TEST_F(AllocationsTest, ARecordOfALoopAllocatesNothingOfItsOwn) {
    run(io, [&]() -> asio::awaitable<void> {
        Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
        for (int i = 0; i < left_at_start; ++i) producer.async_send(record, [](const Result<Delivery>&) {});
        co_await producer.async_flush(asio::use_awaitable);
        Consumer consumer{io.get_executor(),
                          {.bootstrap_servers = cluster.bootstrap_servers(), .group_id = "g", .topics = {"t"}}};
        std::uint64_t before = 0;
        int handled = 0;
        auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            if (++handled == warm_up) before = allocations;
            if (handled == left_at_start) consumer.stop();
            co_return;
        };
        const ForEachOptions options{.max_in_flight = 100};
        const auto ended = co_await consumer.for_each(options, handler);
        EXPECT_TRUE(ended);
        EXPECT_LT(static_cast<double>(allocations - before) / count, 0.05);
        co_await consumer.close();
    });
}

// Whichever request for memory fails, its caller is told, by the call or by its handler, and no send is left behind.
TEST_F(AllocationsTest, ASendForWhichThereIsNoMemoryEndsOnce) {
    Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    const std::array<char, 100> does_not_fit_in_place{};
    asio::cancellation_signal of_caller, of_call;
    CallContext call{now() + 30s};
    call.set_cancellation_slot(of_call.slot());
    Record to_new_topic{"topic-with-a-name-that-fits-in-no-small-string-", "k", "v"};
    int begun = 0, ended = 0;
    const auto handler = [&, does_not_fit_in_place](const Result<Delivery>&) { ++ended; };
    const auto send = [&] {
        ++begun;
        try {
            producer.async_send(to_new_topic, call, asio::bind_cancellation_slot(of_caller.slot(), handler));
        } catch (const std::bad_alloc&) {
            ++ended;
        }
    };
    // Ahead of each: its deadline is earlier, so the timer sleeps already. A sleep that finds no memory as it begins
    // ends the program in Boost 1.81.
    const CallContext earlier{now() + 20s};
    const auto send_another = [&] { producer.async_send(record, earlier, [](const Result<Delivery>&) {}); };
    send_another();
    const auto failures = with_each_request_failing(send, [&] {
        io.restart();
        io.run();
        EXPECT_EQ(ended, begun);
        EXPECT_FALSE(of_caller.slot().has_handler() || of_call.slot().has_handler()) << begun;
        to_new_topic.topic += "x";
        send_another();
    });

    bool is_flushed = false; // those too that failed when the client had them
    producer.async_flush([&](const boost::system::error_code&) { is_flushed = true; });
    io.restart();
    io.run();

    EXPECT_GT(failures, 3);
    EXPECT_TRUE(is_flushed);
    EXPECT_EQ(producer.get_stats().in_flight, 0U);
    EXPECT_EQ(producer.get_stats().waiting, 0U);
}

#ifdef __OPTIMIZE__ // else frames hold whatever they ever named
// From 1 KiB on a request makes glibc merge everything that was freed, and so does giving it back.
TEST_F(AllocationsTest, ADeadLetterOnItsWayAsksForNoLargePieceOfMemory) {
    Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    DeadLetterQueue letters{{.topic = "dead"}, DeadLetterTopic{producer}};
    const Error failure{Errc::operation_failed, "CustomerID: empty"};
    std::vector<Result<DeadLetterReceipt>> ends;
    const auto begin = [&] {
        asio::co_spawn(io, letters.send_to_dlq(record, failure),
                       [&](const std::exception_ptr& thrown, Result<DeadLetterReceipt> stored) {
                           ends.push_back(thrown ? Error::from_exception(thrown) : std::move(stored));
                       });
        io.restart();
        io.poll();
    };
    begin(); // what all later ones use again

    testing::smallest_that_fails = 1000;
    testing::allocations_until_failure = 0;
    for (int i = 0; i < 10; ++i) begin();
    testing::allocations_until_failure = -1;
    testing::smallest_that_fails = 0;
    io.restart();
    io.run();

    EXPECT_EQ(ends.size(), 11U);
    for (const auto& stored : ends) EXPECT_TRUE(stored) << stored.error();
}
#endif

} // namespace
} // namespace velostream::kafka

#endif
