// SPDX-License-Identifier: Apache-2.0
// A queue with a spool on several threads, and a sink that fails again and again: what was acknowledged arrives, each
// producer's letters in their order.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/temporary_folder.hpp"
#include "velostream/dead_letter_queue.hpp"

namespace velostream {
namespace {

using namespace std::chrono_literals;
using Receipt = Result<DeadLetterReceipt>;

constexpr std::size_t producers = 4;

// Keeps the order of what is on its way, as a producer does for one partition: where one fails those behind it fail.
class FlakyPipe {
  public:
    explicit FlakyPipe(unsigned one_fails_of) : state_(std::make_shared<State>()) {
        state_->one_fails_of = one_fails_of;
    }

    asio::awaitable<Receipt> store(const DeadLetter& letter, CallContext&) {
        const auto state = state_;
        const auto failures = state->failures;
        co_await asio::post(asio::use_awaitable);
        const Error away = make_error_code(boost::system::errc::connection_reset);
        if (state->failures != failures) co_return away;
        if (state->one_fails_of != 0 && state->random() % state->one_fails_of == 0) {
            ++state->failures;
            if (state->random() % 4 == 0) keep(letter); // and only its acknowledgment was lost
            co_return away;
        }
        keep(letter);
        co_return DeadLetterReceipt{};
    }
    /// The numbers of each producer's letters, as they arrived.
    std::vector<std::vector<int>> arrived() const {
        const std::scoped_lock lock{state_->mutex};
        return state_->arrived;
    }

  private:
    struct State {
        std::mutex mutex;
        std::vector<std::vector<int>> arrived = std::vector<std::vector<int>>(producers);
        // On the executor of the queue only.
        std::minstd_rand random{42};
        unsigned one_fails_of = 0;
        std::uint64_t failures = 0;
    };

    void keep(const DeadLetter& letter) {
        const std::scoped_lock lock{state_->mutex};
        state_->arrived[static_cast<std::size_t>(letter.source_partition())].push_back(
            std::stoi(std::string{letter.value().value()}));
    }

    std::shared_ptr<State> state_;
};

class DeadLetterSpoolStress : public ::testing::Test {
  protected:
    using Queue = DeadLetterQueue<FlakyPipe>;

    DeadLetterQueueConfig config() const {
        return {.topic = "bad-orders",
                .max_retries = 1000,
                .retry_delay = 1ms,
                .spool_directory = folder.path() / "spool",
                .spool_max_size = 1_MiB,
                .spool_min_free_disk = 0};
    }
    // Its next letters, until number `end`; what was not acknowledged comes again.
    asio::awaitable<void> produce(Queue& queue, std::size_t producer, int end) {
        const Error bad{make_error_code(boost::system::errc::invalid_argument), "Quantity"};
        for (auto& next = acknowledged[producer]; next < end;) {
            const auto value = std::to_string(next.load());
            const RecordView record{
                .topic = "orders", .partition = static_cast<std::int32_t>(producer), .offset = next, .value = value};
            const auto sent = co_await queue.send_to_dlq(record, bad);
            if (sent) ++next;
        }
    }
    // Until all that lies in the spool has arrived.
    static asio::awaitable<void> empty(Queue& queue) {
        const auto executor = co_await asio::this_coro::executor;
        while (queue.get_stats().spool.waiting != 0) {
            auto pause = async_sleep_until(SteadyTime{}, executor, SteadyTime{}.now() + 1ms, asio::use_awaitable);
            co_await std::move(pause);
        }
    }
    // Each number arrives, and for the first time behind those before it.
    void expect_in_order(const FlakyPipe& sink) const {
        const auto arrived = sink.arrived();
        for (std::size_t producer = 0; producer < producers; ++producer) {
            int next = 0;
            for (const auto number : arrived[producer]) {
                EXPECT_LE(number, next) << "of producer " << producer << " came too early";
                next = std::max(next, number + 1);
            }
            EXPECT_GE(next, acknowledged[producer]) << "of producer " << producer << " are missing";
        }
    }

    const TemporaryFolder folder;
    std::vector<std::atomic<int>> acknowledged = std::vector<std::atomic<int>>(producers);
};

TEST_F(DeadLetterSpoolStress, EveryLetterArrivesInItsOrderWhateverFails) {
    constexpr int letters = 300;
    FlakyPipe sink{8};
    asio::thread_pool pool{4};
    const asio::any_io_executor strand = asio::make_strand(pool);
    Queue queue{config(), sink, {.executor = strand}};
    std::atomic<std::size_t> producing = producers;

    for (std::size_t producer = 0; producer < producers; ++producer)
        asio::co_spawn(strand, produce(queue, producer, letters), [&](std::exception_ptr failed) {
            EXPECT_FALSE(failed);
            if (--producing == 0) asio::co_spawn(strand, empty(queue), [](std::exception_ptr) {});
        });
    pool.join();

    expect_in_order(sink);
    const auto stats = queue.get_stats();
    EXPECT_EQ(stats.sent, producers * letters);
    EXPECT_GT(stats.spooled, 0u);
    EXPECT_EQ(stats.relayed, stats.spooled);
    EXPECT_EQ(stats.in_flight, 0u);
    EXPECT_EQ(stats.spool.corrupt + stats.spool.torn + stats.spool.failed_writes, 0u);
}

TEST_F(DeadLetterSpoolStress, WhatWasAcknowledgedArrivesThoughThreadsEndInTheMiddle) {
    FlakyPipe sink{4};
    for (int round = 1; round <= 20; ++round) {
        std::optional<Queue> queue;
        asio::thread_pool pool{3}; // goes first, and with it what is on its way
        const asio::any_io_executor strand = asio::make_strand(pool);
        queue.emplace(config(), sink, DeadLetterQueueOptions{.executor = strand});
        for (std::size_t producer = 0; producer < producers; ++producer)
            asio::co_spawn(strand, produce(*queue, producer, 1'000'000), [](std::exception_ptr) {});
        while (acknowledged[0] < 10 * round) std::this_thread::yield();
        if (round % 2 == 0) queue->close();
        pool.stop();
    }

    asio::thread_pool pool{2};
    const asio::any_io_executor strand = asio::make_strand(pool);
    Queue queue{config(), sink, {.executor = strand}};
    asio::co_spawn(strand, empty(queue), [](std::exception_ptr) {});
    pool.join();

    expect_in_order(sink);
}

} // namespace
} // namespace velostream
