// SPDX-License-Identifier: Apache-2.0
// A dead letter that is cancelled at each place where a queue with a spool may wait.
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "spool_log.hpp"
#include "support/modelled_disk.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using testing::InMemoryDeadLetters;
using testing::ManualTime;
using testing::ModelledDisk;
using Receipt = Result<DeadLetterReceipt>;
using Queue = DeadLetterQueue<InMemoryDeadLetters, ManualTime>;

// co_spawn lets a coroutine hear of terminal cancellation only, unless it asks for more.
asio::awaitable<Receipt> with_every_kind_of_cancellation(Queue& queue, const RecordView& record, Error error) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_return co_await queue.send_to_dlq(record, error);
}

class CancelledSpooledLetter : public ::testing::TestWithParam<asio::cancellation_type> {
  protected:
    void SetUp() override {
        queue.emplace(config, sink, Spool{SpoolLog::open(files.folder(), limits).value(), disk.get_executor()},
                      DeadLetterQueueOptions{.account = account, .executor = io.get_executor(), .circuit = breaker},
                      time);
    }
    std::optional<Receipt>& send(std::string value, asio::cancellation_slot slot = {}) {
        auto& kept = *records.emplace_back(std::make_unique<std::pair<std::string, RecordView>>());
        kept.first = std::move(value);
        kept.second = {.topic = "orders", .partition = 0, .offset = offset++, .value = kept.first};
        auto& result = *results.emplace_back(std::make_unique<std::optional<Receipt>>());
        asio::co_spawn(io, with_every_kind_of_cancellation(*queue, kept.second, error),
                       asio::bind_cancellation_slot(slot, [&result](std::exception_ptr thrown, Receipt receipt) {
                           EXPECT_FALSE(thrown);
                           result = std::move(receipt);
                       }));
        run_io();
        return result;
    }
    std::optional<Receipt>& send_cancellable(std::string value) { return send(std::move(value), cancel.slot()); }
    void run_io() {
        io.restart();
        io.poll();
    }
    void run() {
        do {
            disk.restart();
            disk.poll();
            io.restart();
        } while (io.poll() != 0);
    }
    void expect_cancelled(const std::optional<Receipt>& result, std::size_t sleepers = 0) {
        ASSERT_TRUE(result && result->has_error());
        EXPECT_EQ(result->error(), Errc::cancelled);
        EXPECT_EQ(account.used(), 0u);
        EXPECT_EQ(time.sleepers(), sleepers);
        const auto stats = queue->get_stats();
        EXPECT_EQ(stats.in_flight, 0u);
        EXPECT_EQ(stats.cancelled, 1u);
        EXPECT_EQ(stats.lost, 0u);
    }
    std::vector<std::string> arrived() const {
        std::vector<std::string> values;
        for (const auto& letter : sink.letters()) values.push_back(letter.value.value_or("null"));
        return values;
    }
    using Texts = std::vector<std::string>;

    ModelledDisk files;
    SpoolLimits limits{.segment_size = 1, .max_size = 4000, .min_free_disk = 0};
    ManualTime time;
    InMemoryDeadLetters sink;
    MemoryAccount account{"dead letters"};
    // Without stack traces, which have another size with every compiler: the limits above are for what letters have.
    DeadLetterQueueConfig config{
        .topic = "bad-orders", .retry_delay = 60s, .include_stack_trace = false, .delivery_timeout = 5s};
    CircuitBreaker<ManualTime> breaker{"orders", {.failure_threshold = 1, .timeout = 30s}, nullptr, time};
    Error error{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "Quantity"};
    const Error unreachable{boost::system::errc::make_error_code(boost::system::errc::connection_refused), "broker"};
    std::vector<std::unique_ptr<std::pair<std::string, RecordView>>> records;
    std::vector<std::unique_ptr<std::optional<Receipt>>> results;
    std::int64_t offset = 0;
    std::optional<Queue> queue;
    asio::cancellation_signal cancel;
    asio::io_context disk, io; // go first: the queue outlives its calls
};

TEST_P(CancelledSpooledLetter, WhileTheLastOnesAreOnTheirWay) {
    sink.fail_next(unreachable, 2);
    send("a");
    run();
    sink.hold();
    queue.reset(); // the next process finds it
    run();
    SetUp();
    run();
    auto& cancelled = send_cancellable("b");
    ASSERT_FALSE(cancelled);

    cancel.emit(GetParam());
    run_io();

    EXPECT_EQ(queue->get_stats().failed_deliveries, 0u);
    expect_cancelled(cancelled);
    EXPECT_EQ(queue->get_stats().spool.waiting, 1u);
    sink.release();
    run();
    EXPECT_EQ(arrived(), Texts{"a"});
}

TEST_P(CancelledSpooledLetter, DuringItsDeliveryItIsNotSpooled) {
    sink.hold();
    auto& cancelled = send_cancellable("a");

    cancel.emit(GetParam());
    run();

    expect_cancelled(cancelled);
    EXPECT_EQ(files.calls, 0u);
    EXPECT_EQ(queue->get_stats().failed_deliveries, 0u);
}

TEST_P(CancelledSpooledLetter, BeforeTheDiskHasTimeForIt) {
    sink.fail_next(unreachable);
    auto& cancelled = send_cancellable("a");
    ASSERT_FALSE(cancelled);

    cancel.emit(GetParam());
    run_io();

    expect_cancelled(cancelled);
    run();
    EXPECT_EQ(queue->get_stats().spool.waiting, 0u);
    const auto& next = send("b");
    EXPECT_TRUE(next && *next && !(*next)->spooled) << "nobody counts the one that was cancelled";
    EXPECT_EQ(arrived(), Texts{"b"});
}

TEST_P(CancelledSpooledLetter, WhileItWaitsForRoomItLetsThoseBehindItGoOn) {
    sink.fail_next(unreachable, 2);
    send(std::string(1500, 'a'));
    run();
    auto& cancelled = send_cancellable(std::string(1500, 'b'));
    auto& behind = send("c");
    run();
    ASSERT_FALSE(cancelled || behind);

    cancel.emit(GetParam());
    run();

    expect_cancelled(cancelled, 1); // the pause of the relay
    ASSERT_TRUE(behind && *behind);
    EXPECT_TRUE((*behind)->spooled);
    EXPECT_EQ(queue->get_stats().spool.waiting, 2u);
    time.advance(60s);
    run();
    EXPECT_EQ(arrived(), (Texts{std::string(1500, 'a'), "c"}));
}

TEST_P(CancelledSpooledLetter, BetweenTwoTriesOfSinkAndDisk) {
    sink.fail_next(unreachable);
    files.goes_well = [](ModelledDisk::Call, std::size_t) { return false; };
    auto& cancelled = send_cancellable("a");
    run();
    ASSERT_FALSE(cancelled);
    ASSERT_EQ(time.sleepers(), 1u);

    cancel.emit(GetParam());
    run();

    expect_cancelled(cancelled);
    EXPECT_EQ(arrived(), Texts{});
}

TEST_P(CancelledSpooledLetter, WhileAFloodIsHeld) {
    error = Errc::send_timeout;
    config.flood_guard.max_in_a_row = 1;
    SetUp();
    send("a");
    auto& cancelled = send_cancellable("b");
    ASSERT_FALSE(cancelled);

    cancel.emit(GetParam());
    run();

    expect_cancelled(cancelled);
    EXPECT_EQ(arrived(), Texts{"a"});
    EXPECT_EQ(queue->get_stats().refused, 0u);
}

TEST_P(CancelledSpooledLetter, WhileTheCircuitIsOpen) {
    error = Errc::send_timeout;
    breaker.force_open();
    auto& cancelled = send_cancellable("a");
    ASSERT_FALSE(cancelled);

    cancel.emit(GetParam());
    run();

    expect_cancelled(cancelled);
    EXPECT_EQ(arrived(), Texts{});
    EXPECT_EQ(queue->get_stats().refused, 0u);
}

INSTANTIATE_TEST_SUITE_P(EveryKind, CancelledSpooledLetter,
                         ::testing::Values(asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                           asio::cancellation_type::total));

} // namespace
} // namespace velostream
