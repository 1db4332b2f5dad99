// SPDX-License-Identifier: Apache-2.0
#include "source.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/mock_cluster.hpp"

namespace orders {
namespace {

using namespace std::chrono_literals;
namespace kafka = velostream::kafka;
using velostream::Bytes;
using velostream::Result;

/// Batches that a test hands out one by one.
class HandedOut final : public Lines {
  public:
    using Batch = std::vector<std::string>;
    HandedOut(std::vector<Batch> batches, std::counting_semaphore<>& allowed)
        : batches_(std::move(batches)), allowed_(allowed) {}

    Result<bool> read_some(LineBatch& batch, std::size_t) override {
        allowed_.acquire();
        if (next_ == batches_.size()) return false;
        for (const auto& line : batches_[next_++]) batch.append(line);
        return true;
    }
    std::optional<double> progress() const override { return std::nullopt; }

  private:
    std::vector<Batch> batches_;
    std::counting_semaphore<>& allowed_;
    std::size_t next_ = 0;
};

class SourceTest : public testing::Test {
  protected:
    SourceTest() { cluster.create_topic("orders", 1).value(); }

    static std::string line(const std::string& what, std::size_t size = 0) {
        auto text = "1,A," + what + ",2,x,1.50,17,UK";
        if (text.size() < size) text.insert(4, size - text.size(), 'd');
        return text;
    }

    void start(std::vector<HandedOut::Batch> batches, Bytes most_bytes = 4 * velostream::mebibyte) {
        reader.emplace(std::make_unique<HandedOut>(std::move(batches), allowed), std::size_t{1} << 30);
        source.emplace(*reader, producer, "orders", figures, most_bytes, nullptr);
        asio::co_spawn(io, source->run(), [this](std::exception_ptr thrown, Result<void> result) {
            outcome = thrown ? velostream::Error::from_exception(thrown) : std::move(result);
        });
    }

    template <class Condition>
    bool run_until(Condition condition) {
        const auto limit = std::chrono::steady_clock::now() + 30s;
        while (!condition() && std::chrono::steady_clock::now() < limit) {
            io.restart();
            io.run_one_for(10ms);
        }
        return condition();
    }

    std::vector<std::string> written(std::size_t count) {
        std::vector<std::string> lines;
        kafka::Consumer consumer{io.get_executor(),
                                 {.bootstrap_servers = cluster.bootstrap_servers(),
                                  .group_id = "g",
                                  .topics = {"orders"},
                                  .fetch_wait = 5ms}};
        asio::co_spawn(
            io,
            [&]() -> asio::awaitable<void> {
                while (lines.size() < count) {
                    const auto batch = co_await consumer.next_batch();
                    if (!batch) co_return;
                    for (const auto& record : *batch) {
                        lines.emplace_back(*record.value());
                        const auto key = record.key();
                        keys.push_back(key ? std::optional<std::string>{*key} : std::nullopt);
                    }
                }
            },
            [](std::exception_ptr) {});
        EXPECT_TRUE(run_until([&] { return lines.size() >= count; }));
        return lines;
    }

    asio::io_context io{1};
    kafka::MockCluster cluster{1};
    kafka::Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers(), .linger = 0ms}};
    Figures figures;
    std::counting_semaphore<> allowed{0};
    std::optional<LineReader> reader;
    std::optional<Source> source;
    std::optional<Result<void>> outcome;
    std::vector<std::optional<std::string>> keys; // of what written() read
};

TEST_F(SourceTest, KeysALineByItsCustomerAndOneWithoutByNothing) {
    const std::string nobody = "1,A,x,2,x,1.50,,UK";
    start({{line("first")}, {nobody}, {line("third")}});
    for (std::uint64_t lines = 1; lines <= 3; ++lines) {
        allowed.release();
        ASSERT_TRUE(run_until([&] { return figures.read == lines && source->in_flight() == 0; }))
            << "one place for all";
    }
    allowed.release();

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));
    ASSERT_EQ(written(3), (std::vector{line("first"), nobody, line("third")}));
    EXPECT_EQ(keys, (std::vector<std::optional<std::string>>{"17", std::nullopt, "17"}));
}

TEST_F(SourceTest, NewLinesDoNotOvertakeOneThatFailed) {
    constexpr kafka::KafkaErrc network_exception{13}; // not tried again by the client itself
    cluster.fail_next_produce_requests({network_exception});
    start({{line("first")}, {line("second"), line("third")}});
    allowed.release();
    ASSERT_TRUE(run_until([&] { return producer.get_stats().failed == 1; }));

    allowed.release(2);

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));
    EXPECT_TRUE(*outcome);
    EXPECT_EQ(written(3), (std::vector{line("first"), line("second"), line("third")}));
}

TEST_F(SourceTest, RunsNoFurtherAheadOfItsConsumerThanTheEmbeddedClusterKeeps) {
    constexpr std::size_t size = 10'000, lines = 500, most = 3 * 1024 * 1024 / size;
    start({HandedOut::Batch(lines, line("x", size))});
    allowed.release(2);

    ASSERT_TRUE(run_until([&] { return figures.read >= most; }));
    EXPECT_EQ(figures.read, most);
    for (std::size_t i = 0; i < most; ++i) source->on_consumed(size);

    EXPECT_TRUE(run_until([&] { return outcome.has_value(); }));
    EXPECT_EQ(figures.read, lines);
}

TEST_F(SourceTest, HoldsNoMoreLinesThanItMayAndALargerOneAlone) {
    cluster.set_round_trip_time(20ms);
    constexpr std::size_t size = 10'000, most_lines = 5;
    std::vector<std::string> lines(40, line("x", size));
    lines[20] = line("large", 10 * size);
    Bytes most = 0, large = 0;
    start({lines}, (most_lines + 1) * size - 1);
    allowed.release(2);

    ASSERT_TRUE(run_until([&] {
        const auto stats = producer.get_stats();
        most = std::max<Bytes>(most, stats.in_flight);
        if (stats.in_flight_bytes > 10 * size) large = std::max<Bytes>(large, stats.in_flight);
        return outcome.has_value();
    }));

    EXPECT_TRUE(*outcome);
    EXPECT_EQ(most, most_lines);
    EXPECT_EQ(large, 1U);
}

TEST_F(SourceTest, WhatNoWaitingCuresEndsItAndNamesTheLine) {
    cluster.fail_next_produce_requests({kafka::KafkaErrc::message_too_large});
    start({{line("first")}});
    allowed.release(2);

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));

    ASSERT_FALSE(*outcome);
    EXPECT_EQ(outcome->error(), kafka::KafkaErrc::message_too_large);
    EXPECT_EQ(outcome->error().detail(), "order line 1, topic orders");
}

TEST_F(SourceTest, EndsWithTheErrorThatItIsGivenWhileItWaitsForItsConsumer) {
    constexpr std::size_t size = 10'000, lines = 500;
    start({HandedOut::Batch(lines, line("x", size))});
    allowed.release(2);
    ASSERT_TRUE(run_until([&] { return figures.read > 0 && source->in_flight() == 0; }));

    source->fail({velostream::Errc::operation_failed, "lost"});

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));
    EXPECT_EQ(outcome->error(), velostream::Errc::operation_failed);
    EXPECT_LT(figures.read, lines);
}

} // namespace
} // namespace orders
