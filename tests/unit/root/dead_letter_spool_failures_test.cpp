// SPDX-License-Identifier: Apache-2.0
// A queue with a spool that finds no memory or damaged letters: nothing is lost, stuck or overtaken.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "spool_log.hpp"
#include "support/allocation_count.hpp"
#include "support/modelled_disk.hpp"
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

// On which the next so many sleeps find no memory.
struct ForgetfulTime {
    TimePoint now() const noexcept { return time.now(); }
    TimePoint coarse_now() const noexcept { return time.coarse_now(); }
    void sleep_until(const asio::any_io_executor& executor, TimePoint at, SleepHandler handler) {
        if (*failures > 0) {
            --*failures;
            throw std::bad_alloc{};
        }
        time.sleep_until(executor, at, std::move(handler));
    }
    ManualTime time;
    std::shared_ptr<int> failures = std::make_shared<int>(0);
};

class DeadLetterSpoolFailures : public ::testing::Test {
  protected:
    DeadLetterSpoolFailures() {
        queue.emplace(config, sink,
                      Spool{SpoolLog::open(disk.folder(), {.min_free_disk = 0}).value(), io.get_executor()},
                      DeadLetterQueueOptions{.executor = io.get_executor()}, time);
    }
    std::optional<Receipt>& send(std::string value) {
        auto& record = *records.emplace_back(std::make_unique<std::string>(std::move(value)));
        auto& result = *results.emplace_back(std::make_unique<std::optional<Receipt>>());
        const RecordView view{.topic = "orders", .partition = 3, .offset = offset++, .value = record};
        asio::co_spawn(io, queue->send_to_dlq(RecordView{view}, bad_record),
                       [&result](std::exception_ptr, Receipt receipt) { result = std::move(receipt); });
        run();
        return result;
    }
    void run() {
        io.restart();
        for (bool has_memory = false; !has_memory;) {
            try {
                io.poll();
                has_memory = true;
            } catch (const std::bad_alloc&) { // as a program that goes on
            }
        }
    }
    void pass(Duration by) {
        time.time.advance(by);
        run();
    }
    std::vector<std::string> arrived() const {
        std::vector<std::string> values;
        for (const auto& letter : sink.letters()) values.push_back(letter.value.value_or("null"));
        return values;
    }

    using Texts = std::vector<std::string>;

    ModelledDisk disk;
    ForgetfulTime time;
    InMemoryDeadLetters sink;
    DeadLetterQueueConfig config{.topic = "bad-orders", .max_retries = 3, .retry_delay = 60s, .delivery_timeout = 5s};
    const Error bad_record{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "Quantity"};
    const Error unreachable{boost::system::errc::make_error_code(boost::system::errc::connection_refused), "broker"};
    const Error too_large{boost::system::errc::make_error_code(boost::system::errc::message_size), "record"};
    std::vector<std::unique_ptr<std::string>> records;
    std::vector<std::unique_ptr<std::optional<Receipt>>> results;
    std::int64_t offset = 0;
    std::optional<DeadLetterQueue<InMemoryDeadLetters, ForgetfulTime>> queue;
    asio::io_context io; // goes first: the queue outlives its calls
};

TEST_F(DeadLetterSpoolFailures, ADelayThatFindsNoMemoryIsNotTheEndOfDelivery) {
    sink.fail_next(unreachable, 4);
    send("a");
    *time.failures = 2;
    pass(60s);
    ASSERT_EQ(*time.failures, 0);
    pass(60s);

    const auto& behind = send("b");

    EXPECT_EQ(arrived(), (Texts{"a", "b"}));
    EXPECT_TRUE(behind && *behind && !(*behind)->spooled);
    EXPECT_EQ(queue->get_stats().spool.waiting, 0u);
}

TEST_F(DeadLetterSpoolFailures, ALetterThatWasPutAsideIsTriedAgainAfterADelayThatFoundNoMemory) {
    sink.fail_next(too_large, 3);
    send("too large");
    *time.failures = 1;
    pass(60s);
    ASSERT_EQ(*time.failures, 0);
    sink.fail_next(unreachable);
    send("b");
    EXPECT_EQ(arrived(), Texts{"b"});

    pass(60s);

    EXPECT_EQ(arrived(), (Texts{"b", "too large"}));
    EXPECT_EQ(queue->get_stats().spool.waiting, 0u);
}

TEST_F(DeadLetterSpoolFailures, ALetterAsideThatIsDamagedLetsNobodyPassThoseThatWait) {
    sink.fail_next(too_large, 2);
    send("too large");
    for (auto& [name, content] : disk.names) content->now[content->now.find("too large")] ^= 1;
    pass(60s);
    ASSERT_EQ(queue->get_stats().spool.waiting, 0u) << "it is gone";

    sink.fail_next(unreachable, 2);
    send("b");
    const auto& behind = send("c");

    ASSERT_TRUE(behind && *behind);
    EXPECT_TRUE((*behind)->spooled);
    pass(60s);
    EXPECT_EQ(arrived(), (Texts{"b", "c"}));
}

// Nothing fails under a sanitizer.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(DeadLetterSpoolFailures, ALetterThatFindsNoMemoryComesLaterAndNobodyWaitsForEver) {
    std::set<std::string> sent;
    const auto spool_some = [&] {
        sink.fail_next(unreachable, 2);
        for (int i = 0; i < 3; ++i) {
            const auto value = std::to_string(sent.size()) + std::string(100'000, 'x');
            sent.insert(value);
            ASSERT_TRUE((*send(value))->spooled);
        }
    };
    spool_some();
    testing::smallest_that_fails = 100'000;

    const auto failures = testing::with_each_request_failing([&] { pass(60s); },
                                                             [&] {
                                                                 auto& waiting = send("small");
                                                                 pass(60s);
                                                                 pass(60s);
                                                                 EXPECT_TRUE(waiting && *waiting);
                                                                 EXPECT_EQ(queue->get_stats().spool.waiting, 0u);
                                                                 spool_some();
                                                             });

    testing::smallest_that_fails = 0;
    EXPECT_GE(failures, 6) << "three letters, each copied for its delivery and by the sink";
    pass(60s);
    const auto letters = arrived();
    for (const auto& value : sent) EXPECT_TRUE(std::ranges::count(letters, value) > 0) << value.substr(0, 4);
}
#endif

} // namespace
} // namespace velostream
