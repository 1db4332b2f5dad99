// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <concepts>
#include <exception>
#include <map>
#include <optional>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "input/lines.hpp"
#include "velostream/kafka/consumer.hpp"

namespace orders {

/// An order of customer 17 with `what` for its description, of at least `size` bytes.
inline std::string order_line(const std::string& what, std::size_t size = 0) {
    auto text = "1,A," + what + ",2,x,1.50,17,UK";
    if (text.size() < size) text.insert(4, size - text.size(), 'd');
    return text;
}

/// Batches that a test hands out one by one.
class HandedOut final : public Lines {
  public:
    using Batch = std::vector<std::string>;
    HandedOut(std::vector<Batch> batches, std::counting_semaphore<>& allowed)
        : batches_(std::move(batches)), allowed_(allowed) {}

    velostream::Result<bool> read_some(LineBatch& batch, std::size_t) override {
        allowed_.acquire();
        if (is_stopped() || next_ == batches_.size()) return false;
        for (const auto& line : batches_[next_++]) batch.append(line);
        return true;
    }
    void stop() override {
        Lines::stop();
        allowed_.release();
    }
    std::optional<double> progress() const override { return 1; }

  private:
    std::vector<Batch> batches_;
    std::counting_semaphore<>& allowed_;
    std::size_t next_ = 0;
};

/// Runs until `condition()` holds; false if it does not in half a minute.
template <std::predicate Condition>
bool run_until(asio::io_context& io, Condition condition) {
    using namespace std::chrono_literals;
    const auto limit = std::chrono::steady_clock::now() + 30s;
    while (!condition() && std::chrono::steady_clock::now() < limit) {
        io.restart();
        io.run_one_for(10ms);
    }
    return condition();
}

/// A record as it was written.
struct Written {
    std::optional<std::string> key;
    std::string value;
    std::map<std::string, std::string> headers;
};

/// The first `count` records of a topic.
inline std::vector<Written> written_to(asio::io_context& io, const std::string& bootstrap_servers,
                                       const std::string& topic, std::size_t count) {
    using namespace std::chrono_literals;
    std::vector<Written> records;
    velostream::kafka::Consumer consumer{
        io.get_executor(),
        {.bootstrap_servers = bootstrap_servers, .group_id = "test", .topics = {topic}, .fetch_wait = 5ms}};
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            while (records.size() < count) {
                const auto batch = co_await consumer.next_batch();
                if (!batch) co_return;
                for (const auto& record : *batch) {
                    const auto key = record.key();
                    records.push_back({key ? std::optional<std::string>{*key} : std::nullopt,
                                       std::string{record.value().value_or("")},
                                       {}});
                    for (const auto [name, value] : record.headers())
                        records.back().headers.emplace(name, value.value_or(""));
                }
            }
        },
        [](std::exception_ptr) {});
    EXPECT_TRUE(run_until(io, [&] { return records.size() >= count; }));
    return records;
}

} // namespace orders
