// SPDX-License-Identifier: Apache-2.0
#include "input/line_reader.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>

#include "input/input_error.hpp"

namespace orders {

namespace {

/// Gives its lines one at a time, as a slow pipe does.
class OneByOne final : public Lines {
  public:
    explicit OneByOne(std::size_t count) : left_(count) {}

    velostream::Result<bool> read_some(LineBatch& batch, std::size_t) override {
        if (left_ == 0) return false;
        --left_;
        batch.append("line");
        return true;
    }
    std::optional<double> progress() const override { return std::nullopt; }

  private:
    std::size_t left_;
};

/// Gives three lines and fails.
class Torn final : public Lines {
  public:
    explicit Torn(std::atomic<bool>& has_failed) : has_failed_(has_failed) {}

    velostream::Result<bool> read_some(LineBatch& batch, std::size_t) override {
        if (given_++ < 3) {
            batch.append("line");
            return true;
        }
        has_failed_ = true;
        has_failed_.notify_one();
        return unreadable("torn", "ends early");
    }
    std::optional<double> progress() const override { return std::nullopt; }

  private:
    std::atomic<bool>& has_failed_;
    int given_ = 0;
};

asio::awaitable<void> count_all(LineReader& reader, std::size_t& count) {
    for (;;) {
        const auto batch = co_await reader.next();
        if (!batch || !*batch) co_return;
        count += (*batch)->size();
    }
}

} // namespace

// The reader's thread and its consumer meet at every line, in every order that the machine makes up.
TEST(LineReader, AConsumerAsFastAsTheReaderGetsEveryLine) {
    constexpr std::size_t lines = 300'000;
    asio::io_context io;
    LineReader reader{std::make_unique<OneByOne>(lines), 1'000};
    std::size_t count = 0;

    asio::co_spawn(io, count_all(reader, count), asio::detached);
    io.run();

    EXPECT_EQ(count, lines);
}

// Many times: what matters is a reader that has met the error before anybody asks.
TEST(LineReader, WhatWasReadBeforeAnErrorComesBeforeTheError) {
    for (int round = 0; round < 100; ++round) {
        asio::io_context io;
        std::atomic<bool> has_failed = false;
        LineReader reader{std::make_unique<Torn>(has_failed), 1'000};
        has_failed.wait(false);
        std::size_t count = 0;
        std::optional<velostream::Error> error;

        asio::co_spawn(
            io,
            [&]() -> asio::awaitable<void> {
                while (!error) {
                    const auto batch = co_await reader.next();
                    if (!batch)
                        error = batch.error();
                    else if (*batch)
                        count += (*batch)->size();
                    else
                        co_return;
                }
            },
            asio::detached);
        io.run();

        EXPECT_EQ(count, 3U);
        ASSERT_TRUE(error);
        EXPECT_EQ(*error, InputErrc::unreadable);
    }
}

/// Lines without end, and how many were taken.
class Endless final : public Lines {
  public:
    explicit Endless(std::atomic<std::size_t>& given) : given_(given) {}

    velostream::Result<bool> read_some(LineBatch& batch, std::size_t) override {
        batch.append(std::string(1'000, 'x'));
        ++given_;
        given_.notify_one();
        return true;
    }
    std::optional<double> progress() const override { return std::nullopt; }

  private:
    std::atomic<std::size_t>& given_;
};

TEST(LineReader, KeepsNoMoreBytesThanItMayAndReadsOnWhenTheyAreTaken) {
    constexpr std::size_t kept = 5;
    asio::io_context io;
    std::atomic<std::size_t> given = 0;
    LineReader reader{std::make_unique<Endless>(given), kept * 1'100};
    const auto reads = [&given](std::size_t lines) {
        for (auto now = given.load(); now < lines; now = given.load()) given.wait(now);
        return given.load();
    };
    EXPECT_EQ(reads(kept + 1), kept + 1); // one more waits in the reader's hands

    asio::co_spawn(io, [&]() -> asio::awaitable<void> { co_await reader.next(); }, asio::detached);
    io.run();

    EXPECT_EQ(reads(kept + 2), kept + 2);
}

TEST(LineReader, ABatchLargerThanAllItMayKeepIsKeptAlone) {
    asio::io_context io;
    LineReader reader{std::make_unique<OneByOne>(3), 1};
    std::size_t count = 0;

    asio::co_spawn(io, count_all(reader, count), asio::detached);
    io.run();

    EXPECT_EQ(count, 3U);
}

} // namespace orders
