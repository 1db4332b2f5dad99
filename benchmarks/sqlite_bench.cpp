// SPDX-License-Identifier: Apache-2.0
//
// Queries of an embedded database: one row by its key, by a prepared statement. A connection of ours does its work on
// another thread, because a disk may keep it; the way there and back is most of what it costs.
#include <benchmark/benchmark.h>
#include <sqlite3.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "pools/askers.hpp"
#include "pools/simulated_server.hpp"
#include "process/temporary_folder.hpp"
#include "support/allocations.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/sqlite/connections.hpp"

namespace velostream::bench {

namespace {

constexpr const char* sql = "SELECT segment FROM customers WHERE id = ?";
constexpr int customers = 1000;

/// SQLite and nothing else: one connection with one prepared statement.
class BareSqlite {
  public:
    explicit BareSqlite(const std::string& path) {
        sqlite3* database = nullptr;
        expect(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
        database_.reset(database);
    }

    void execute(const char* script) {
        expect(sqlite3_exec(database_.get(), script, nullptr, nullptr, nullptr) == SQLITE_OK);
    }
    void prepare() {
        sqlite3_stmt* statement = nullptr;
        expect(sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr) == SQLITE_OK);
        statement_.reset(statement);
    }
    void query(int id) {
        auto* const statement = statement_.get();
        expect(sqlite3_bind_int(statement, 1, id) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW);
        benchmark::DoNotOptimize(sqlite3_column_text(statement, 0)[0]);
        expect(sqlite3_step(statement) == SQLITE_DONE && sqlite3_reset(statement) == SQLITE_OK);
    }

  private:
    struct Close {
        void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
        void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    };
    static void expect(bool holds) {
        if (!holds) throw std::runtime_error{"SQLite has failed"};
    }

    std::unique_ptr<sqlite3, Close> database_;
    std::unique_ptr<sqlite3_stmt, Close> statement_;
};

/// A file of the customers, for as long as the program runs.
const std::string& database() {
    static const TemporaryFolder folder;
    static const std::string path = [] {
        auto file = (folder.path() / "customers.db").string();
        BareSqlite sqlite{file};
        sqlite.execute("PRAGMA journal_mode = WAL; CREATE TABLE customers (id INTEGER PRIMARY KEY, segment TEXT);");
        std::string rows = "BEGIN;";
        for (int id = 0; id < customers; ++id)
            rows +=
                "INSERT INTO customers VALUES (" + std::to_string(id) + ", 'segment " + std::to_string(id % 7) + "');";
        sqlite.execute((rows + "COMMIT").c_str());
        return file;
    }();
    return path;
}

int id(std::size_t number) {
    return static_cast<int>(number % customers);
}

void bare(benchmark::State& state) {
    BareSqlite sqlite{database()};
    sqlite.prepare();
    std::size_t asked = 0;
    for (auto _ : counted(state)) sqlite.query(id(asked++));
}

/// The same on another thread that waits for each query, and answers to an `io_context`.
void bare_on_a_thread(benchmark::State& state) {
    BareSqlite sqlite{database()};
    sqlite.prepare();
    asio::io_context io{1};
    std::mutex mutex;
    std::condition_variable_any news;
    int wanted = -1; // guarded by the mutex
    std::jthread worker{[&](const std::stop_token& stop) {
        std::unique_lock lock{mutex};
        while (news.wait(lock, stop, [&] { return wanted >= 0; })) {
            sqlite.query(std::exchange(wanted, -1));
            asio::post(io, [] {});
        }
    }};
    const auto guard = asio::make_work_guard(io);
    std::size_t asked = 0;
    for (auto _ : counted(state)) {
        {
            const std::scoped_lock lock{mutex};
            wanted = id(asked++);
        }
        news.notify_one();
        io.run_one();
    }
}

using Pool = ConnectionPool<sqlite::Connections>;

asio::awaitable<void> query(Pool& pool, int wanted) {
    auto borrowing = pool.get_connection();
    auto connection = co_await std::move(borrowing);
    if (!connection) throw std::runtime_error{connection.error().message()};
    auto asking = (*connection)->query(sql, wanted);
    const auto answer = co_await std::move(asking);
    if (!answer) throw std::runtime_error{answer.error().message()};
    const auto segment = (*answer)[0].get<std::string_view>(0);
    if (!segment) throw std::runtime_error{segment.error().message()};
    benchmark::DoNotOptimize(segment->data());
}

/// As many coroutines as connections, each of which asks again and again.
void pooled(benchmark::State& state, std::size_t connections) {
    asio::io_context io{1};
    Pool pool{io.get_executor(), {.max_size = connections, .min_idle = connections}, sqlite::Connections{database()}};
    const auto guard = asio::make_work_guard(io);
    run_until_idle(io, pool, connections);

    ask_again_and_again(state, io, connections, [&](std::size_t number) { return query(pool, id(number)); });
}

} // namespace

void declare(Suite& suite) {
    const Measure all{.threads = {1}, .whole_process = true};
    suite.add("floor/sqlite", bare, all);
    suite.add("floor/sqlite_on_a_thread", bare_on_a_thread, all);
    suite.add("sqlite/query_one", [](auto& state) { pooled(state, 1); }, all);
    suite.add("sqlite/query_eight", [](auto& state) { pooled(state, 8); }, all);
}

} // namespace velostream::bench
