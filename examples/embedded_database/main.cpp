// SPDX-License-Identifier: Apache-2.0
// Customers in an SQLite database, looked up and changed through a pool of connections. Prints what it finds; the
// database is in memory, so nothing is left.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <velostream/connection_pool.hpp>
#include <velostream/sqlite/connections.hpp>

namespace {

using velostream::CallContext;
using velostream::Result;
namespace asio = boost::asio;
namespace sqlite = velostream::sqlite;
using Pool = velostream::ConnectionPool<sqlite::Connections>;

asio::awaitable<Result<std::string>> segment_of(Pool& pool, std::int64_t customer) {
    auto lease = co_await pool.get_connection();
    if (!lease) co_return lease.error();

    auto query = (*lease)->query("SELECT segment FROM customers WHERE id = ?", customer);
    const auto result = co_await std::move(query);
    if (!result) co_return result.error();
    if (result->empty()) co_return std::string{"nobody knows"};
    const auto segment = (*result)[0].get<std::optional<std::string>>("segment");
    if (!segment) co_return segment.error();
    co_return segment->value_or("none");
}

asio::awaitable<Result<void>> promote(Pool& pool, std::int64_t customer, std::string segment) {
    auto lease = co_await pool.get_connection();
    if (!lease) co_return lease.error();
    auto& connection = **lease;

    // Where this returns early, the pool rolls back before it lends the connection again.
    auto begin = connection.execute("BEGIN IMMEDIATE"); // waits for other writers here, and not in the middle
    if (const auto begun = co_await std::move(begin); !begun) co_return begun.error();
    auto update = connection.execute("UPDATE customers SET segment = ? WHERE id = ?", segment, customer);
    if (const auto updated = co_await std::move(update); !updated) co_return updated.error();
    auto note = connection.execute("INSERT INTO promotions VALUES (?, ?)", customer, segment);
    if (const auto noted = co_await std::move(note); !noted) co_return noted.error();
    auto commit = connection.execute("COMMIT");
    if (const auto committed = co_await std::move(commit); !committed) co_return committed.error();
    co_return Result<void>{};
}

asio::awaitable<Result<void>> make_tables(Pool& pool) {
    auto lease = co_await pool.get_connection();
    if (!lease) co_return lease.error();
    auto making = (*lease)->execute_script(R"(
        CREATE TABLE customers (id INTEGER PRIMARY KEY, segment TEXT);
        CREATE TABLE promotions (customer INTEGER NOT NULL REFERENCES customers, segment TEXT NOT NULL);
        INSERT INTO customers VALUES (17850, 'retail'), (13047, NULL))");
    co_return co_await std::move(making);
}

asio::awaitable<void> use_customers(Pool& pool) {
    (co_await make_tables(pool)).value();
    for (const std::int64_t customer : {17850, 13047, 1}) {
        auto segment = co_await segment_of(pool, customer);
        std::cout << "customer " << customer << ": " << segment.value() << '\n';
    }
    auto promotion = promote(pool, 17850, "wholesale");
    (co_await std::move(promotion)).value();
    auto mistake = promote(pool, 1, "wholesale");
    const auto mistaken = co_await std::move(mistake);
    if (!mistaken) std::cout << "not promoted: " << mistaken.error() << '\n';
    auto segment = co_await segment_of(pool, 17850);
    std::cout << "customer 17850: " << segment.value() << '\n';
}

} // namespace

int main() {
    asio::io_context io;
    Pool pool{io.get_executor(), {.max_size = 4}, sqlite::Connections{sqlite::ConnectionConfig{}}};
    asio::co_spawn(io, use_customers(pool), [](std::exception_ptr failed) {
        if (failed) std::rethrow_exception(failed);
    });
    io.run();
}
