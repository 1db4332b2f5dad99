// SPDX-License-Identifier: Apache-2.0
#include "line_reader.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>

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
    LineReader reader{std::make_unique<OneByOne>(lines)};
    std::size_t count = 0;

    asio::co_spawn(io, count_all(reader, count), asio::detached);
    io.run();

    EXPECT_EQ(count, lines);
}

} // namespace orders
