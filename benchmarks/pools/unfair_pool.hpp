// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "velostream/async/time_source.hpp"

namespace velostream::bench {

/// A pool as it is without fairness: a stack of connections under a mutex. Whoever asks takes the one on top; who finds
/// none is woken when one comes back, the last to come first, and looks again. By then somebody else may have it.
///
/// Threads: safe.
class UnfairPool {
  public:
    class Lease {
      public:
        Lease(UnfairPool& pool, std::size_t connection) noexcept : pool_(&pool), connection_(connection) {}
        Lease(Lease&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), connection_(other.connection_) {}
        Lease& operator=(Lease&&) = delete;
        ~Lease() {
            if (pool_) pool_->give_back(connection_);
        }

      private:
        UnfairPool* pool_;
        std::size_t connection_;
    };

    UnfairPool(asio::any_io_executor executor, std::size_t connections) : executor_(std::move(executor)) {
        for (std::size_t number = 0; number < connections; ++number) free_.push_back(number);
    }

    asio::awaitable<Lease> get_connection() {
        for (;;) {
            if (const auto connection = try_take()) co_return Lease{*this, *connection};
            auto waiting = asio::async_initiate<const asio::deferred_t&, void()>(
                [this](auto handler) {
                    wait([kept = std::make_shared<decltype(handler)>(std::move(handler))] { std::move (*kept)(); });
                },
                asio::deferred);
            co_await std::move(waiting);
        }
    }

  private:
    using Waiter = std::function<void()>;

    std::optional<std::size_t> try_take() {
        const std::scoped_lock lock{mutex_};
        if (free_.empty()) return std::nullopt;
        const auto connection = free_.back();
        free_.pop_back();
        return connection;
    }
    void wait(Waiter waiter) {
        std::unique_lock lock{mutex_};
        if (free_.empty()) return waiters_.push_back(std::move(waiter));
        lock.unlock();
        wake(std::move(waiter));
    }
    void give_back(std::size_t connection) {
        Waiter woken;
        {
            const std::scoped_lock lock{mutex_};
            free_.push_back(connection);
            if (waiters_.empty()) return;
            woken = std::move(waiters_.back());
            waiters_.pop_back();
        }
        wake(std::move(woken));
    }
    void wake(Waiter waiter) { asio::post(executor_, std::move(waiter)); }

    const asio::any_io_executor executor_;
    std::mutex mutex_;
    std::vector<std::size_t> free_;
    std::vector<Waiter> waiters_;
};

} // namespace velostream::bench
