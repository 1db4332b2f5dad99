// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <exception>
#include <memory>
#include <utility>

#include "velostream/async/wait_queue.hpp"

namespace velostream::kafka {

/// Coroutines that were begun together, and how many of them have not ended.
struct Together {
    explicit Together(std::size_t count) : left(count) {}

    std::size_t left;
    WaitQueue ended;

    void end() {
        if (--left == 0) ended.wake_all();
    }
    template <class Token>
    auto async_wait(Token&& token) {
        return ended.async_wait_unless([this]() noexcept { return left == 0; }, std::forward<Token>(token));
    }
};

/// Begins `close(client)` for each of them, and waits until all have ended.
template <class Clients, class Close>
asio::awaitable<void> close_all(asio::any_io_executor executor, Clients& clients, Close close) {
    const auto together = std::make_shared<Together>(clients.size());
    for (auto& client : clients)
        asio::co_spawn(executor, close(client), [together](std::exception_ptr) { together->end(); });
    auto waiting = together->async_wait(asio::use_awaitable);
    co_await std::move(waiting);
}

} // namespace velostream::kafka
