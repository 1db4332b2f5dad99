// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <concepts>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/postgres/connection.hpp"

namespace velostream::postgres {

using namespace std::chrono_literals;

inline TimePoint now() {
    return SteadyTime{}.now();
}

inline asio::awaitable<void> pause_for(Duration time) {
    asio::steady_timer timer{co_await asio::this_coro::executor};
    timer.expires_after(time);
    co_await timer.async_wait(asio::use_awaitable);
}

/// Waits until `condition()` holds; false if it does not within `limit`.
template <std::predicate Condition>
asio::awaitable<bool> eventually(Condition condition, Duration limit = 20s) {
    const auto until = now() + limit;
    while (!condition()) {
        if (now() > until) co_return false;
        co_await pause_for(2ms);
    }
    co_return true;
}

/// A server that cmake/test_database.sh has started in a folder.
class Server {
  public:
    explicit Server(std::filesystem::path folder) : folder_(std::move(folder)) {}

    std::string socket_dsn() const { return line_of("socket_dsn"); }
    std::string tcp_dsn() const { return line_of("tcp_dsn"); }
    std::string port() const { return line_of("port"); }
    std::string certificate() const { return folder_ / "root.crt"; }

    /// One of the script's commands, to its end.
    void command(const std::string& word) const {
        const auto ran = run_program("sh", {line_of("script"), word, folder_});
        EXPECT_EQ(ran.exit_code, 0) << word << ": " << ran.output << ran.error;
    }

  protected:
    std::string line_of(const std::string& file) const {
        std::string line;
        std::ifstream stream{folder_ / file};
        std::getline(stream, line);
        return line;
    }

    std::filesystem::path folder_;
};

/// One of a test's own, which it may stop and kill: a copy of what the shared one began with.
class OwnServer : public Server {
  public:
    explicit OwnServer(const std::filesystem::path& shared, const std::string& setting = "work_mem=4MB")
        : Server(shared) {
        const auto script = line_of("script");
        folder_ = copy_ / "cluster";
        const auto ran = run_program("sh", {script, "start", "--with", std::to_string(::getpid()), "--copy-of", shared,
                                            "--setting", setting, folder_});
        EXPECT_EQ(ran.exit_code, 0) << ran.output << ran.error;
    }
    ~OwnServer() { command("remove"); }

  private:
    TemporaryFolder copy_;
};

/// A test on a real server, the shared one that VELOSTREAM_TEST_DATABASE names the folder of. Skipped without one.
class DatabaseTest : public testing::Test {
  protected:
    void SetUp() override {
        if (folder().empty()) GTEST_SKIP() << "VELOSTREAM_TEST_DATABASE is not set: see cmake/test_database.sh";
        if (server.socket_dsn().empty()) GTEST_SKIP() << "there is no server in " << folder();
    }
    static std::filesystem::path folder() {
        const auto* const name = std::getenv("VELOSTREAM_TEST_DATABASE");
        return name ? name : "";
    }

    /// The same word at every call in a test, another one in every other test and run.
    std::string unique(const std::string& word) const {
        const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
        std::string name = word + "_" + test->name() + "_" + std::to_string(now_at_start_.time_since_epoch().count());
        for (auto& letter : name) letter = letter == '/' ? '_' : static_cast<char>(std::tolower(letter));
        return name;
    }

    /// Runs `test()`, a coroutine, to its end. A test that takes longer than `limit` has failed.
    template <std::invocable Test>
    void run(Test test, Duration limit = 60s) {
        bool is_over = false;
        asio::co_spawn(io, test(), [&](const std::exception_ptr& problem) {
            is_over = true;
            if (problem) std::rethrow_exception(problem);
        });
        io.restart(); // it may have had nothing to do
        const auto until = now() + limit;
        while (!is_over && now() < until && io.run_one_until(std::chrono::steady_clock::time_point{until}) > 0) {
        }
        ASSERT_TRUE(is_over) << "the test did not end";
    }

    /// Throws if there is none.
    asio::awaitable<Connection> connected(ConnectionConfig config) {
        auto opening = Connection::open(std::move(config));
        auto opened = co_await std::move(opening);
        EXPECT_TRUE(opened) << opened.error();
        co_return std::move(opened.value());
    }
    asio::awaitable<Connection> connected() {
        ConnectionConfig config;
        config.dsn = server.socket_dsn();
        return connected(std::move(config));
    }

    /// Runs a statement that must succeed.
    template <class... Values>
    static asio::awaitable<QueryResult> ask(Connection& connection, std::string sql, Values... values) {
        auto asking = connection.query(std::move(sql), values...);
        auto answer = co_await std::move(asking);
        EXPECT_TRUE(answer) << answer.error();
        co_return std::move(answer.value());
    }
    template <class... Values>
    static asio::awaitable<Error> ask_badly(Connection& connection, std::string sql, Values... values) {
        auto asking = connection.query(std::move(sql), values...);
        const auto answer = co_await std::move(asking);
        EXPECT_FALSE(answer);
        co_return answer.error();
    }
    /// The one value of its answer.
    template <class T, class... Values>
    static asio::awaitable<T> value_of(Connection& connection, std::string sql, Values... values) {
        auto asking = ask(connection, std::move(sql), values...);
        const auto answer = co_await std::move(asking);
        EXPECT_EQ(answer.size(), 1u);
        co_return answer[0].template get<T>(0).value();
    }

    asio::io_context io;
    const Server server{folder()};

  private:
    const TimePoint now_at_start_ = now();
};

} // namespace velostream::postgres
