// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/run_coroutine.hpp"
#include "support/temporary_folder.hpp"
#include "velostream/sqlite/connections.hpp"

namespace velostream::sqlite {

using testing::Started;

// A query that takes hours unless it is interrupted.
inline constexpr const char* endless =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0";

// A folder with a database, and somebody who waits for what is asked of it.
class DatabaseTest : public ::testing::Test {
  protected:
    // Runs the context until the coroutine has ended.
    template <class T>
    void run_until_ended(const Started<T>& started) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
        while (!started.ended()) {
            io_.restart();
            io_.run_one_for(std::chrono::milliseconds{100});
            if (std::chrono::steady_clock::now() > end) throw std::runtime_error{"it does not end"};
        }
        // A cancellation is on its way to the spawned coroutine; with Boost 1.81 it must arrive before its signal ends.
        io_.restart();
        io_.poll();
    }
    template <class T>
    T wait(asio::awaitable<T> coroutine) {
        auto started = testing::start(io_, std::move(coroutine));
        run_until_ended(started);
        return std::move(started.value());
    }

    // The file, also for a program of its own that is started by this test: a process that was forked from one with
    // threads could find SQLite locked for ever.
    std::string file_of_the_test_and_its_program() {
        constexpr const char* name = "VELOSTREAM_TEST_DATABASE_FILE";
        GTEST_FLAG_SET(death_test_style, "threadsafe");
        if (!::testing::internal::InDeathTestChild()) ::setenv(name, file_.c_str(), 1);
        return std::getenv(name);
    }

    Connection open(Connections& connections) {
        CallContext call;
        return wait(connections.open(call)).value();
    }
    Connection open() { return open(connections_); }

    // Its only value.
    template <class T = std::int64_t>
    T value_of(Connection& connection, const std::string& sql) {
        const auto result = wait(connection.query(sql)).value();
        return result[0].get<T>(0).value();
    }

    TemporaryFolder folder_;
    const std::string file_ = folder_ / "test.db";
    asio::io_context io_;
    Connections connections_{{.path = file_}};
};

} // namespace velostream::sqlite
