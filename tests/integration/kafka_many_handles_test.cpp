// SPDX-License-Identifier: Apache-2.0
// Many producers and consumers of one execution context, and what they share.
#include <algorithm>
#include <array>
#include <deque>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "kafka_producer_fixture.hpp"
#include "support/open_eventfds.hpp"

namespace velostream::kafka {
namespace {

using testing::open_eventfds;
using testing::watched_descriptors;

// Of this process; the client library names its own.
std::set<std::string> threads_without_the_clients() {
    std::set<std::string> numbers;
    for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
        std::string name;
        std::getline(std::ifstream{task.path() / "comm"}, name);
        if (!name.starts_with("rdk:")) numbers.insert(task.path().filename());
    }
    return numbers;
}

class ManyHandlesTest : public ProducerTest {
  protected:
    ManyHandlesTest() {
        Producer services_are_there_from_now_on{io.get_executor(), config()};
        io.poll();
        io.restart();
    }
    ConsumerConfig consumer_config(int number) const {
        return {.bootstrap_servers = few_threads.bootstrap_servers(),
                .group_id = "g" + std::to_string(number),
                .topics = {"t"},
                .fetch_wait = 5ms};
    }

    MockCluster few_threads{1};
};

TEST_F(ManyHandlesTest, ShareOneEventfdAndOneWatchedDescriptorAndEachIsServed) {
    constexpr int producers = 50, consumers = 10;
    const auto eventfds = open_eventfds(), watched = watched_descriptors();
    run(io, [&]() -> asio::awaitable<void> {
        std::deque<Producer> sending;
        std::deque<Consumer> reading;
        Outcomes outcomes;
        for (int i = 0; i < producers; ++i) {
            sending.emplace_back(io.get_executor(),
                                 ProducerConfig{.bootstrap_servers = few_threads.bootstrap_servers()});
            EXPECT_EQ(open_eventfds(), eventfds + 1);
        }
        for (auto& producer : sending) outcomes.send(producer, numbered("t", 1));
        EXPECT_TRUE(co_await eventually([&] { return outcomes.are_complete(); }));
        EXPECT_EQ(outcomes.failures(), 0U);

        for (int i = 0; i < consumers; ++i) reading.emplace_back(io.get_executor(), consumer_config(i));
        EXPECT_EQ(open_eventfds(), eventfds + 1);
        EXPECT_EQ(watched_descriptors(), watched + 1);
        for (auto& consumer : reading) {
            int read = 0;
            while (read < producers) {
                const auto batch = co_await consumer.next_batch();
                if (!batch) break;
                read += static_cast<int>(batch->size());
            }
            EXPECT_EQ(read, producers);
        }
    });
    EXPECT_EQ(open_eventfds(), eventfds);
    EXPECT_EQ(watched_descriptors(), watched);
}

TEST_F(ManyHandlesTest, AreServedByNoOtherThreadThanTheContextsOwn) {
    std::set<std::thread::id> served_on;
    const auto before = threads_without_the_clients();
    const auto is_none_new = [&] { return std::ranges::includes(before, threads_without_the_clients()); };
    const ProducerConfig to_nobody{.bootstrap_servers = "127.0.0.1:1", .delivery_timeout = 100ms};
    const ProducerConfig to_consumer{.bootstrap_servers = few_threads.bootstrap_servers()};
    const ForEachOptions options;
    run(io, [&]() -> asio::awaitable<void> {
        Producer unreachable{io.get_executor(), to_nobody}, feeding{io.get_executor(), to_consumer};
        Consumer consumer{io.get_executor(), consumer_config(0)};
        const Record record{"t", "k", "v"};
        const std::array producers{&unreachable, &feeding};
        std::size_t ended = 0;
        for (auto* const producer : producers)
            producer->async_send(record, [&](const Result<Delivery>&) {
                served_on.insert(std::this_thread::get_id());
                ++ended;
            });
        const auto handler = [&](const ConsumedRecord&) -> asio::awaitable<void> {
            served_on.insert(std::this_thread::get_id());
            consumer.stop();
            co_return;
        };
        EXPECT_TRUE(co_await consumer.for_each(options, handler));
        EXPECT_TRUE(co_await eventually([&] { return ended == producers.size(); }));

        EXPECT_TRUE(co_await eventually(is_none_new)); // theirs have no name at first
    });
    EXPECT_EQ(served_on, std::set{std::this_thread::get_id()});
}

TEST_F(ManyHandlesTest, OneMayEndInTheHandlerOfAnother) {
    run(io, [&]() -> asio::awaitable<void> {
        std::optional<Producer> first{std::in_place, io.get_executor(), config()};
        std::optional<Producer> second{std::in_place, io.get_executor(), config()};
        Producer third{io.get_executor(), config()};
        const Record record{"t", "k", "v"};
        const std::array producers{&*first, &*second, &third};
        for (auto* producer : producers) EXPECT_TRUE(co_await producer->send(record));
        std::vector<Error> failures;
        const auto ends = [&failures](std::optional<Producer>& other) {
            return [&](const Result<Delivery>& sent) {
                if (!sent) failures.push_back(sent.error());
                other.reset();
            };
        };
        first->async_send(record, ends(second));
        second->async_send(record, ends(first));

        EXPECT_TRUE(co_await third.send(record));
        EXPECT_TRUE(co_await eventually([&] { return !first && !second; }));

        EXPECT_EQ(failures.size(), 1U);
        EXPECT_TRUE(co_await third.send(record));
    });
}

TEST_F(ManyHandlesTest, EveryContextIsServedByItself) {
    asio::io_context other{1};
    Producer here{io.get_executor(), config()}, there{other.get_executor(), config()};
    const Record record{"t", "k", "v"};
    bool has_come = false;
    there.async_send(record, [&](const Result<Delivery>& sent) { has_come = sent.has_value(); });

    run(io, [&]() -> asio::awaitable<void> { EXPECT_TRUE(co_await here.send(record)); });
    EXPECT_FALSE(has_come);
    other.run();

    EXPECT_TRUE(has_come);
}

TEST_F(ManyHandlesTest, AContextMayEndBeforeThem) {
    const auto eventfds = open_eventfds();
    auto own = std::make_unique<asio::io_context>(1);
    std::deque<Producer> sending;
    std::deque<Consumer> reading;
    for (int i = 0; i < 3; ++i) {
        sending.emplace_back(own->get_executor(), config());
        reading.emplace_back(own->get_executor(), consumer_config(i));
        sending.back().async_send(Record{"t", "k", "v"}, [](const Result<Delivery>&) {});
    }
    own->run_for(50ms);
    for (auto& producer : sending) producer.async_send(Record{"t", "k", "v"}, [](const Result<Delivery>&) { FAIL(); });

    own.reset();

    EXPECT_EQ(open_eventfds(), eventfds);
}

} // namespace
} // namespace velostream::kafka
