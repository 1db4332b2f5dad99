// SPDX-License-Identifier: Apache-2.0
// A client of a TCP protocol of your own in a pool of connections: one line asks, one line answers. The server is in
// the program too, so that it runs by itself.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <velostream/connection_pool.hpp>

namespace {

using namespace std::chrono_literals;
using velostream::CallContext;
using velostream::ConnectionPool;
using velostream::ConnectionPoolConfig;
using velostream::Error;
using velostream::Result;
namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto outcome = asio::as_tuple(asio::deferred); // an error code, and no exception

class PriceClient {
  public:
    explicit PriceClient(tcp::socket socket) : socket_(std::move(socket)) {}

    asio::awaitable<Result<std::string>> ask(std::string question) {
        question += '\n';
        auto writing = asio::async_write(socket_, asio::buffer(question), outcome);
        const auto [not_sent, sent] = co_await std::move(writing);
        if (not_sent) co_return Error{not_sent};
        std::string answer;
        auto reading = asio::async_read_until(socket_, asio::dynamic_buffer(answer), '\n', outcome);
        const auto [not_read, length] = co_await std::move(reading);
        if (not_read) co_return Error{not_read};
        co_return answer.substr(0, length - 1);
    }
    void close() { socket_.close(); }

  private:
    tcp::socket socket_;
};

// What the pool needs to know about it. Deadlines are the pool's business: it cancels what takes too long.
struct PriceClients {
    using Connection = PriceClient;

    tcp::endpoint server;

    asio::awaitable<Result<PriceClient>> open(CallContext&) {
        tcp::socket socket{co_await asio::this_coro::executor};
        auto connecting = socket.async_connect(server, outcome);
        const auto [refused] = co_await std::move(connecting);
        if (refused) co_return Error{refused};
        co_return PriceClient{std::move(socket)};
    }
    asio::awaitable<Result<void>> check(PriceClient& client, CallContext&) {
        auto asking = client.ask("ping");
        const auto answer = co_await std::move(asking);
        if (!answer) co_return answer.error();
        co_return Result<void>{};
    }
    // A question leaves nothing behind once it is answered.
    bool needs_reset(const PriceClient&) const noexcept { return false; }
    asio::awaitable<Result<void>> reset(PriceClient&, CallContext&) { co_return Result<void>{}; }
    asio::awaitable<void> close(PriceClient& client, CallContext&) {
        client.close();
        co_return;
    }
};

asio::awaitable<void> look_up(ConnectionPool<PriceClients>& pool, std::string fruit) {
    auto borrowing = pool.get_connection();
    auto client = co_await std::move(borrowing);
    if (!client) {
        std::cout << fruit << ": no connection: " << client.error() << '\n';
        co_return;
    }
    auto asking = (*client)->ask(fruit);
    const auto price = co_await std::move(asking);
    if (!price) client->mark_broken(); // the answer may come yet, and nobody else must get it
    std::cout << fruit << ": " << (price ? *price : price.error().message()) << '\n';
}

asio::awaitable<void> serve(tcp::socket socket) {
    std::string lines;
    for (;;) {
        auto reading = asio::async_read_until(socket, asio::dynamic_buffer(lines), '\n', outcome);
        const auto [gone, length] = co_await std::move(reading);
        if (gone) co_return;
        const auto answer = std::to_string(length - 1) + ".00\n"; // so much a letter
        lines.erase(0, length);
        auto writing = asio::async_write(socket, asio::buffer(answer), outcome);
        const auto [failed, written] = co_await std::move(writing);
        if (failed) co_return;
    }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor) {
    for (;;) {
        auto accepting = acceptor.async_accept(outcome);
        auto [closed, socket] = co_await std::move(accepting);
        if (closed) co_return;
        asio::co_spawn(acceptor.get_executor(), serve(std::move(socket)), asio::detached);
    }
}

asio::awaitable<void> shop(tcp::acceptor& acceptor) {
    const auto executor = co_await asio::this_coro::executor;
    const ConnectionPoolConfig config{.max_size = 2, .connection_timeout = 2s};
    ConnectionPool pool{executor, config, PriceClients{acceptor.local_endpoint()}};
    for (const auto* fruit : {"fig", "plum", "cherry", "apricot"}) {
        auto looking = look_up(pool, fruit);
        co_await std::move(looking);
    }
    const auto stats = pool.get_stats();
    std::cout << "connections: " << stats.created << " opened for " << stats.lent_at_once + stats.lent_waited
              << " questions\n";

    auto closing = pool.close(2s);
    const auto closed = co_await std::move(closing);
    std::cout << (closed ? "all closed" : closed.error().message()) << '\n';
    acceptor.close(); // the server ends too
}

} // namespace

int main() {
    try {
        asio::io_context context{1};
        tcp::acceptor acceptor{context, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
        asio::co_spawn(context, accept(acceptor), asio::detached);
        asio::co_spawn(context, shop(acceptor), [](std::exception_ptr failed) {
            if (failed) std::rethrow_exception(failed);
        });
        context.run();
    } catch (const std::exception& problem) {
        std::cerr << problem.what() << '\n';
        return 1;
    }
}
