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

#include "order_lines.hpp"
#include "velostream/kafka/mock_cluster.hpp"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include "support/counting_new.hpp"
#endif

namespace orders {
namespace {

using namespace std::chrono_literals;
namespace kafka = velostream::kafka;
using velostream::Bytes;
using velostream::Result;

class SourceTest : public testing::Test {
  protected:
    SourceTest() { cluster.create_topic("orders", 1).value(); }

    void start(std::vector<HandedOut::Batch> batches, Bytes most_bytes = 4 * velostream::mebibyte) {
        reader.emplace(std::make_unique<HandedOut>(std::move(batches), allowed), std::size_t{1} << 30);
        source.emplace(*reader, producer, "orders", figures, most_bytes, nullptr);
        asio::co_spawn(io, source->run(), [this](std::exception_ptr thrown, Result<void> result) {
            outcome = thrown ? velostream::Error::from_exception(thrown) : std::move(result);
        });
    }

    template <class Condition>
    bool run_until(Condition condition) {
        return orders::run_until(io, condition);
    }
    // The values of what was written.
    std::vector<std::string> written(std::size_t count) {
        std::vector<std::string> lines;
        for (auto& record : written_to(io, cluster.bootstrap_servers(), "orders", count)) {
            keys.push_back(std::move(record.key));
            lines.push_back(std::move(record.value));
        }
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
    start({{order_line("first")}, {nobody}, {order_line("third")}});
    for (std::uint64_t lines = 1; lines <= 3; ++lines) {
        allowed.release();
        ASSERT_TRUE(run_until([&] { return figures.read == lines && source->in_flight() == 0; }))
            << "one place for all";
    }
    allowed.release();

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));
    ASSERT_EQ(written(3), (std::vector{order_line("first"), nobody, order_line("third")}));
    EXPECT_EQ(keys, (std::vector<std::optional<std::string>>{"17", std::nullopt, "17"}));
}

TEST_F(SourceTest, NewLinesDoNotOvertakeOneThatFailed) {
    constexpr kafka::KafkaErrc network_exception{13}; // not tried again by the client itself
    cluster.fail_next_produce_requests({network_exception});
    start({{order_line("first")}, {order_line("second"), order_line("third")}});
    allowed.release();
    ASSERT_TRUE(run_until([&] { return producer.get_stats().failed == 1; }));

    allowed.release(2);

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));
    EXPECT_TRUE(*outcome);
    EXPECT_EQ(written(3), (std::vector{order_line("first"), order_line("second"), order_line("third")}));
}

struct KeyedLine {
    std::string line;
    std::size_t key_bytes;
};

class SourceAheadTest : public SourceTest, public testing::WithParamInterface<KeyedLine> {};

// Each line in a batch of its own. What the cluster had to drop could not be read.
TEST_P(SourceAheadTest, RunsNoFurtherAheadOfItsConsumerThanTheEmbeddedClusterKeeps) {
    const auto& [line, key_bytes] = GetParam();
    const auto topic_bytes = bytes_in_topic(line.size(), key_bytes);
    const auto most = Source::most_bytes_ahead / topic_bytes;
    start({HandedOut::Batch(2 * most, line)});
    allowed.release(2);

    ASSERT_TRUE(run_until([&] {
        const auto read = figures.read;
        io.poll();
        return read > 0 && source->in_flight() == 0 && figures.read == read;
    }));
    const auto ahead = figures.read;
    EXPECT_LE(ahead, most);
    EXPECT_GT(ahead, most / 2);
    EXPECT_EQ(written(ahead).size(), ahead);
    for (std::size_t i = 0; i < ahead; ++i) source->on_consumed(topic_bytes);

    ASSERT_TRUE(run_until([&] { return figures.read > ahead; }));
}

const std::string long_customer(60'000, 'c');
INSTANTIATE_TEST_SUITE_P(ShortAndLongLinesAndKeys, SourceAheadTest,
                         testing::Values(KeyedLine{"1,,,1,,1,,", 0}, KeyedLine{order_line("x", 10'000), 2},
                                         KeyedLine{"1,A,x,2,x,1.50," + long_customer + ",UK", long_customer.size()}));

TEST_F(SourceTest, HoldsNoMoreLinesThanItMayAndALargerOneAlone) {
    cluster.set_round_trip_time(20ms);
    constexpr std::size_t size = 10'000, most_lines = 5;
    std::vector<std::string> lines(40, order_line("x", size));
    lines[20] = order_line("large", 10 * size);
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

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(SourceTest, KeepsNoMemoryOfLongLinesThatAreAcknowledged) {
    constexpr int lines = 200; // at once, so that as many places are used
    const auto write = [&](std::uint64_t in_all) {
        allowed.release();
        EXPECT_TRUE(run_until([&] { return figures.read == in_all && source->in_flight() == 0; }));
    };
    start({HandedOut::Batch(lines, order_line("short")), HandedOut::Batch(lines, order_line("long", 10'000))});
    write(lines);
    const auto held_for_short_ones = velostream::testing::held;

    write(2 * lines);

    EXPECT_LE(velostream::testing::held, held_for_short_ones - lines / 2) << "each line had a piece of memory";
    allowed.release();
}
#endif

TEST_F(SourceTest, WhatNoWaitingCuresEndsItAndNamesTheLine) {
    cluster.fail_next_produce_requests({kafka::KafkaErrc::message_too_large});
    start({{order_line("first")}});
    allowed.release(2);

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));

    ASSERT_FALSE(*outcome);
    EXPECT_EQ(outcome->error(), kafka::KafkaErrc::message_too_large);
    EXPECT_EQ(outcome->error().detail(), "order line 1, topic orders");
}

TEST_F(SourceTest, EndsWithTheErrorThatItIsGivenWhileItWaitsForItsConsumer) {
    constexpr std::size_t size = 10'000, lines = 500;
    start({HandedOut::Batch(lines, order_line("x", size))});
    allowed.release(2);
    ASSERT_TRUE(run_until([&] { return figures.read > 0 && source->in_flight() == 0; }));

    source->fail({velostream::Errc::operation_failed, "lost"});

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));
    EXPECT_EQ(outcome->error(), velostream::Errc::operation_failed);
    EXPECT_LT(figures.read, lines);
}

TEST_F(SourceTest, EndsWithTheErrorThatItIsGivenWhileItWaitsForAnInputThatSaysNothing) {
    start({{order_line("first")}, {order_line("second")}});
    allowed.release();
    ASSERT_TRUE(run_until([&] { return figures.read == 1 && source->in_flight() == 0; }));

    source->fail({velostream::Errc::operation_failed, "lost"});

    ASSERT_TRUE(run_until([&] { return outcome.has_value(); }));
    EXPECT_EQ(outcome->error(), velostream::Errc::operation_failed);
}

} // namespace
} // namespace orders
