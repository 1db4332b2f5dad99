// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "velostream/base/stack_trace.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/testing/in_memory_dead_letters.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {
namespace {

constexpr int threads = 4;
constexpr int records_per_thread = 500;

template <class Work>
void on_every_thread(Work work) {
    std::vector<std::jthread> running;
    for (int thread = 0; thread < threads; ++thread) running.emplace_back([&work, thread] { work(thread); });
}

TEST(DeadLetterQueueStress, ThreadsThatShareAQueueLoseAndCountTwiceNothing) {
    testing::InMemoryDeadLetters sink;
    testing::ManualTime time;
    const MemoryAccount account;
    DeadLetterQueue queue{DeadLetterQueueConfig{.max_retries = 0}, sink, {.account = account}, time};
    sink.fail_next(Errc::send_timeout, 100);
    std::atomic<int> stored = 0, lost = 0, refused = 0;

    on_every_thread([&](int thread) {
        asio::io_context io;
        auto send = [&, thread]() -> asio::awaitable<void> {
            const Error bad = Errc::operation_failed, not_bad = Errc::circuit_open;
            for (int i = 0; i < records_per_thread; ++i) {
                const RecordView record{.topic = "orders", .partition = thread, .offset = i};
                const auto& error = i % 5 == 0 ? not_bad : bad;
                const auto sent = co_await queue.send_to_dlq(record, error);
                if (sent) ++stored;
                if (!sent && sent.error() == Errc::dead_letter_lost) ++lost;
                if (!sent && sent.error() == Errc::record_not_to_blame) ++refused;
                static_cast<void>(queue.get_stats());
            }
        };
        asio::co_spawn(io, send, [](std::exception_ptr failed) { EXPECT_FALSE(failed); });
        io.run();
    });

    std::set<std::string> ids;
    for (const auto& letter : sink.letters()) ids.insert(letter.id);
    const auto stats = queue.get_stats();
    EXPECT_EQ(ids.size(), sink.letters().size());
    EXPECT_TRUE(std::cmp_equal(sink.letters().size(), stored.load()));
    EXPECT_EQ(lost, 100);
    EXPECT_EQ(refused, threads * records_per_thread / 5);
    EXPECT_EQ(stored + lost + refused, threads * records_per_thread);
    EXPECT_TRUE(std::cmp_equal(stats.sent, stored.load()));
    EXPECT_EQ(stats.lost, 100u);
    EXPECT_EQ(stats.in_flight, 0u);
    EXPECT_EQ(account.used(), 0u);
}

[[gnu::noinline]] StackTrace deep(int depth) {
    auto trace = depth == 0 ? StackTrace::capture() : deep(depth - 1);
    asm volatile(""); // no tail call
    return trace;
}

TEST(StackTraceStress, ThreadsThatTakeTheSameWayGetTheSameText) {
    std::vector<std::set<std::string>> texts(threads);

    on_every_thread([&](int thread) {
        for (int i = 0; i < 2000; ++i) texts[static_cast<std::size_t>(thread)].emplace(deep(i % 20).text());
    });

    for (const auto& each : texts) {
        EXPECT_EQ(each.size(), 20u) << "one text for every depth";
        EXPECT_EQ(each, texts.front());
    }
}

} // namespace
} // namespace velostream
