// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <utility>
#include <vector>

#include "velostream/base/error.hpp"
#include "velostream/testing/manual_time.hpp"

namespace velostream::testing {

/// For tests of `async_ready`: those who wait have numbers, and are remembered by what they completed with.
class ReadyWaiters : public ::testing::Test {
  protected:
    using Names = std::vector<int>;

    auto waiter(int name, asio::io_context& on) {
        return asio::bind_executor(on.get_executor(), [this, name](boost::system::error_code code) {
            EXPECT_TRUE(!code || code == asio::error::operation_aborted || code == Errc::memory_limit_exceeded);
            (code == Errc::memory_limit_exceeded ? refused : code ? aborted : ready).push_back(name);
        });
    }
    auto waiter(int name) { return waiter(name, io); }
    // Who has become ready since the last call.
    Names now_ready() {
        poll();
        return std::exchange(ready, {});
    }
    void poll() {
        io.restart();
        io.poll();
    }
    void pass(Duration by) {
        time.advance(by);
        poll();
    }

    asio::io_context io;
    ManualTime time;
    Names ready, aborted, refused;
};

} // namespace velostream::testing
