// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "velostream/resource_manager.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream {

using namespace std::chrono_literals;
using testing::ManualTime;

/// Gives back pieces of what it holds.
class Cache final : public Reclaimer {
  public:
    Cache(MemoryAccount account, ReclaimKind kind, Bytes held, Bytes piece, std::vector<std::string>* calls = nullptr)
        : kind_(kind), piece_(piece), calls_(calls), held_(*account.try_reserve(held)) {}

    ReclaimKind kind() const noexcept override { return kind_; }
    Bytes estimate() const noexcept override { return nothing_to_free ? 0 : held_.bytes() + pretended; }
    /// Holds all again that `account` has room for.
    void fill(const MemoryAccount& account) { EXPECT_TRUE(held_.try_grow(account.available())); }
    void set_piece(Bytes piece) noexcept { piece_ = piece; }
    asio::awaitable<void> reclaim(Bytes wanted) override {
        wanted_.push_back(wanted);
        if (calls_) calls_->emplace_back(to_string(kind_));
        co_await asio::post(asio::use_awaitable);
        if (throws) throw std::runtime_error{"cannot"};
        held_.shrink(piece_);
        if (grows != 0) static_cast<void>(held_.try_grow(grows));
        if (throws_later) throw std::runtime_error{"cannot go on"};
    }

    std::vector<Bytes> wanted_;
    Bytes pretended = 0;
    bool nothing_to_free = false; // now
    bool throws = false;
    bool throws_later = false; // after it has freed something
    Bytes grows = 0;           // while it should free

  private:
    ReclaimKind kind_;
    Bytes piece_;
    std::vector<std::string>* calls_;
    MemoryReservation held_;
};

class ReclaimTest : public ::testing::Test {
  protected:
    static StreamingConfig config() { return {.max_memory_mb = 100}; } // high at 80 MiB
    void run() {
        io.restart();
        io.poll();
    }
    auto cache(ReclaimKind kind, Bytes held_mb, Bytes piece_mb) {
        return std::make_shared<Cache>(account, kind, held_mb * mebibyte, piece_mb * mebibyte, &calls);
    }
    auto add(std::shared_ptr<Cache> reclaimer) {
        return resources.add_reclaimer(io.get_executor(), account, std::move(reclaimer));
    }
    Bytes used_mb() { return resources.get_memory_usage().bytes_used / mebibyte; }

    asio::io_context io;
    ManualTime time;
    ResourceManager<NoConnections, ManualTime> resources{
        io.get_executor(), config(), {.system_files = {.proc = "/nowhere", .cgroup = "/nowhere"}}, time};
    MemoryAccount account = resources.account("caches");
    std::vector<std::string> calls;
};

} // namespace velostream
