// SPDX-License-Identifier: Apache-2.0
// Uses velostream::sqlite, behind which SQLite stands, and prints the version for the test to compare.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <iostream>
#include <velostream/sqlite/connections.hpp>
#include <velostream/version.hpp>

boost::asio::awaitable<void> print_version(velostream::sqlite::Connections& connections) {
    velostream::CallContext call;
    auto opening = connections.open(call);
    auto connection = (co_await std::move(opening)).value();
    auto query = connection.query("SELECT ?", velostream::version());
    const auto result = (co_await std::move(query)).value();
    std::cout << result[0].get<std::string_view>(0).value() << '\n';
}

int main() {
    boost::asio::io_context io;
    velostream::sqlite::Connections connections{velostream::sqlite::ConnectionConfig{}};
    boost::asio::co_spawn(io, print_version(connections), boost::asio::detached);
    io.run();
}
