// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <exception>
#include <functional>
#include <optional>
#include <random>
#include <utility>

#include "support/counted_connections.hpp"
#include "velostream/connection_pool.hpp"

namespace velostream {

using Pool = ConnectionPool<testing::CountedConnections>;
using Lease = Pool::Lease;

// For borrowers who wait for as long as it takes.
inline ConnectionPoolConfig patient(std::size_t max_size) {
    return {.max_size = max_size,
            .min_idle = 0,
            .connection_timeout = std::chrono::minutes{10},
            .idle_timeout = std::nullopt,
            .max_lifetime = std::nullopt,
            .max_waiters = 0};
}

// What borrowers do with a connection, by chance; 0: never, else once in so many times.
struct Habits {
    unsigned breaks = 0, detaches = 0, cancels = 0, looks_only = 0;
    unsigned holds = 4; // at most so many turns of its strand
};

// Borrows again and again, each time in another way, on a strand of its own.
class Borrower {
  public:
    Borrower(asio::any_io_executor executor, Pool& pool, const Habits& habits, unsigned seed,
             std::function<bool(Borrower&)> goes_on)
        : strand_(asio::make_strand(std::move(executor))),
          pool_(pool),
          habits_(habits),
          random_(seed),
          goes_on_(std::move(goes_on)) {}

    void start() {
        asio::post(*strand_, [this] { next(); });
    }

    // Its context is about to end, and runs nothing any more: a strand must not be there longer, nor what listens for a
    // cancellation on it.
    void leave_context() {
        strand_.reset();
        signal_.reset();
    }

    int asked = 0, served = 0, cancelled = 0, refused = 0, closed = 0, others = 0;

  private:
    bool chance(unsigned once_in) { return once_in != 0 && random_() % once_in == 0; }

    void next() {
        if (!goes_on_(*this)) return;
        ++asked;
        const auto slot = signal_->slot();
        if (asked % 2 == 0) {
            pool_.async_acquire(asio::bind_executor(
                *strand_, asio::bind_cancellation_slot(slot, [this](Result<Lease> lease) { on(std::move(lease)); })));
        } else {
            auto answered = [this](const std::exception_ptr& thrown, Result<Lease> lease) {
                if (thrown) lease = Error::from_exception(thrown);
                on(std::move(lease));
            };
            asio::co_spawn(*strand_, pool_.get_connection(), asio::bind_cancellation_slot(slot, answered));
        }
        if (chance(habits_.cancels)) asio::post(*strand_, [this] { signal_->emit(asio::cancellation_type::terminal); });
    }
    void on(Result<Lease> lease) {
        if (lease) return hold(std::move(*lease));
        ++(lease.error() == Errc::pool_closed      ? closed
           : lease.error() == Errc::connect_failed ? refused
           : lease.error() == ErrorType::cancelled ? cancelled
                                                   : others);
        asio::post(*strand_, [this] { next(); });
    }
    void hold(Lease lease) {
        ++served;
        if (chance(habits_.looks_only)) return give_back(std::move(lease));
        auto use = lease->use();
        turn(std::move(lease), std::move(use), static_cast<unsigned>(random_()) % (habits_.holds + 1));
    }
    using Use = testing::CountedConnections::Connection::Use;
    void turn(Lease lease, Use use, unsigned left) {
        if (left == 0) return end(std::move(lease), std::move(use));
        // With its context the use ends before the lease.
        asio::post(*strand_, [this, left, kept = std::move(lease), used = std::move(use)]() mutable {
            turn(std::move(kept), std::move(used), left - 1);
        });
    }
    void end(Lease lease, Use use) {
        use.end();
        if (chance(habits_.detaches)) {
            lease->count_no_more();
            const auto own = lease.detach();
            EXPECT_FALSE(lease);
            return asio::post(*strand_, [this] { next(); });
        }
        if (chance(habits_.breaks)) lease.mark_broken();
        give_back(std::move(lease));
    }
    void give_back(Lease lease) {
        lease.give_back();
        asio::post(*strand_, [this] { next(); });
    }

    std::optional<asio::strand<asio::any_io_executor>> strand_;
    std::optional<asio::cancellation_signal> signal_{std::in_place}; // used on the strand
    Pool& pool_;
    const Habits habits_;
    std::mt19937 random_;
    const std::function<bool(Borrower&)> goes_on_;
};

} // namespace velostream
