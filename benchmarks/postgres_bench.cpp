// SPDX-License-Identifier: Apache-2.0
//
// Queries through a pool beside the same queries by libpq alone: one row by its key, by a prepared statement, on a Unix
// socket. The server takes most of the time of both.
#include <benchmark/benchmark.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pools/askers.hpp"
#include "pools/bare_libpq.hpp"
#include "pools/database.hpp"
#include "pools/simulated_server.hpp"
#include "support/allocations.hpp"
#include "support/suite.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/postgres/connections.hpp"

namespace velostream::bench {

namespace {

constexpr const char* sql = "select typname from pg_type where oid = $1"; // a table that every database has
constexpr int first_key = 16;                                             // of those that are there: 16 to 28
constexpr int keys = 13;
constexpr std::size_t batch = 50;

using Pool = ConnectionPool<postgres::Connections>;

int key(std::size_t number) {
    return first_key + static_cast<int>(number % keys);
}

void bare(benchmark::State& state, const Database& database, std::size_t connections) {
    BareLibpq libpq{database.socket_dsn, connections, sql};
    std::size_t asked = 0;
    const auto ask = [&](std::size_t connection) { libpq.ask(connection, std::to_string(key(asked++))); };
    for (std::size_t connection = 0; connection < connections; ++connection) ask(connection);
    for (auto _ : counted(state)) {
        const auto connection = libpq.wait_for_any();
        const auto answer = libpq.answer(connection);
        benchmark::DoNotOptimize(PQgetvalue(answer.get(), 0, 0));
        ask(connection);
    }
}

void bare_pipeline(benchmark::State& state, const Database& database) {
    BareLibpq libpq{database.socket_dsn, 1, sql};
    libpq.begin_pipelines();
    for (auto _ : counted(state)) {
        std::vector<std::string> values;
        for (std::size_t number = 0; number < batch; ++number) values.push_back(std::to_string(key(number)));
        libpq.ask_all(values);
        libpq.answers(batch, [](PGresult* answer) { benchmark::DoNotOptimize(PQgetvalue(answer, 0, 0)); });
    }
}

void take(const Result<postgres::QueryResult>& answer) {
    if (!answer) throw std::runtime_error{answer.error().message()};
    const auto name = (*answer)[0].get<std::string_view>(0);
    if (!name) throw std::runtime_error{name.error().message()};
    benchmark::DoNotOptimize(name->data());
}

asio::awaitable<void> query(Pool& pool, int wanted) {
    auto borrowing = pool.get_connection();
    auto connection = co_await std::move(borrowing);
    if (!connection) throw std::runtime_error{connection.error().message()};
    auto asking = (*connection)->query(sql, wanted);
    const auto answer = co_await std::move(asking);
    take(answer);
}

asio::awaitable<void> query_batch(Pool& pool, int) {
    auto borrowing = pool.get_connection();
    auto connection = co_await std::move(borrowing);
    if (!connection) throw std::runtime_error{connection.error().message()};
    std::vector<postgres::Statement> statements;
    for (std::size_t number = 0; number < batch; ++number) statements.emplace_back(sql, key(number));
    auto asking = (*connection)->pipeline(std::move(statements));
    const auto answers = co_await std::move(asking);
    if (!answers) throw std::runtime_error{answers.error().message()};
    for (const auto& answer : *answers) take(answer);
}

/// As many coroutines as connections, that run `operation(pool, key)` again and again.
template <class Operation>
void pooled(benchmark::State& state, const Database& database, std::size_t connections, Operation operation) {
    asio::io_context io{1};
    Pool pool{io.get_executor(),
              {.max_size = connections, .min_idle = connections},
              postgres::Connections{database.socket_dsn}};
    run_until_idle(io, pool, connections);
    // Prepares the statement on each: those who ask at the same time have one each.
    std::size_t prepared = 0;
    auto prepare = [&]() -> asio::awaitable<void> {
        auto asking = operation(pool, first_key);
        co_await std::move(asking);
        ++prepared;
    };
    for (std::size_t count = 0; count < connections; ++count) asio::co_spawn(io, prepare(), rethrow);
    while (prepared < connections) io.run_one();

    ask_again_and_again(state, io, connections, [&](std::size_t number) { return operation(pool, key(number)); });
}

} // namespace

void declare(Suite& suite) {
    const auto found = database_of(suite, {"postgres/query_eight", "postgres/query_one", "postgres/pipeline"});
    if (!found) return;
    const auto database = *found;
    const auto of = [&](std::int64_t iterations) {
        return Measure{.threads = {1}, .iterations = suite.is_smoke() ? 20 : iterations};
    };
    suite.add("floor/libpq_eight", [=](auto& state) { bare(state, database, 8); }, of(10'000));
    suite.add("postgres/query_eight", [=](auto& state) { pooled(state, database, 8, query); }, of(10'000));
    suite.add("floor/libpq_one", [=](auto& state) { bare(state, database, 1); }, of(4000));
    suite.add("postgres/query_one", [=](auto& state) { pooled(state, database, 1, query); }, of(4000));
    suite.add("floor/libpq_pipeline", [=](auto& state) { bare_pipeline(state, database); }, of(200));
    suite.add("postgres/pipeline", [=](auto& state) { pooled(state, database, 1, query_batch); }, of(200));
}

} // namespace velostream::bench
