// SPDX-License-Identifier: Apache-2.0
// Asks a PostgreSQL server for names of customers: each look-up has a time limit, and is tried again where that helps.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velostream/pipeline.hpp"
#include "velostream/postgres/connection.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/timeout.hpp"

namespace asio = boost::asio;
namespace postgres = velostream::postgres;
using namespace std::chrono_literals;
using velostream::CallContext, velostream::idempotent, velostream::Result;

class Customers {
  public:
    explicit Customers(postgres::Connection connection) : connection_(std::move(connection)) {}

    asio::awaitable<Result<std::optional<std::string>>> name_of(int id) {
        auto look_up = idempotent([&](CallContext& call) { return ask(call, id); }); // it changes nothing
        co_return co_await guarded_.execute(look_up);
    }

    asio::awaitable<Result<postgres::PipelineResults>> fill() {
        std::vector<postgres::Statement> statements;
        statements.emplace_back("create temporary table customer (id int primary key, name text)");
        statements.emplace_back("insert into customer values ($1, $2)", 1, "Ann");
        statements.emplace_back("insert into customer values ($1, $2)", 2, "Bob");
        auto filling = connection_.pipeline(std::move(statements));
        co_return co_await std::move(filling);
    }

  private:
    asio::awaitable<Result<std::optional<std::string>>> ask(CallContext& call, int id) {
        auto asking = connection_.query(call, "select name from customer where id = $1", id);
        auto answer = co_await std::move(asking);
        if (!answer) co_return answer.error();
        for (const auto row : answer->rows()) co_return row.get<std::optional<std::string>>("name");
        co_return std::nullopt;
    }

    postgres::Connection connection_;
    velostream::RetryExecutor<> retry_{velostream::RetryConfig{.max_retries = 3}};
    velostream::Timeout<> limit_{500ms};
    velostream::Pipeline<velostream::RetryExecutor<>, velostream::Timeout<>> guarded_{retry_, limit_};
};

asio::awaitable<int> look_up_some(std::string dsn) {
    postgres::ConnectionConfig config;
    config.dsn = std::move(dsn);
    const auto now = std::chrono::time_point_cast<velostream::Duration>(std::chrono::steady_clock::now());
    auto opening = postgres::Connection::open(config, CallContext{now + 5s});
    auto opened = co_await std::move(opening);
    if (!opened) {
        std::cerr << opened.error() << '\n';
        co_return 1;
    }
    Customers customers{std::move(*opened)};
    auto filling = customers.fill();
    const auto filled = co_await std::move(filling);
    for (int id = 1; filled && id <= 3; ++id) {
        auto asking = customers.name_of(id);
        const auto name = co_await std::move(asking);
        if (!name) co_return 1;
        std::cout << "customer " << id << ": " << name->value_or("nobody") << '\n';
    }
    co_return filled ? 0 : 1;
}

int main(int count, char** arguments) {
    if (count != 2) {
        std::cerr << "usage: customer_lookup CONNECTION_STRING\n";
        return 2;
    }
    asio::io_context io{1};
    int exit_code = 1;
    asio::co_spawn(io, look_up_some(arguments[1]), [&](const std::exception_ptr& problem, int code) {
        if (problem) std::rethrow_exception(problem);
        exit_code = code;
    });
    io.run();
    return exit_code;
}
