// SPDX-License-Identifier: Apache-2.0
// A slow service that must not be asked by too many at once, nor too often: called through a bulkhead, a rate limiter,
// and a limit that finds its size. Prints what the callers see; ends after about a second.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <velostream/adaptive_limit.hpp>
#include <velostream/bulkhead.hpp>
#include <velostream/pipeline.hpp>
#include <velostream/rate_limiter.hpp>

namespace {

using namespace std::chrono_literals;
using velostream::AdaptiveLimit;
using velostream::AdaptiveLimitConfig;
using velostream::Bulkhead;
using velostream::BulkheadConfig;
using velostream::Errc;
using velostream::Pipeline;
using velostream::RateLimiter;
using velostream::RateLimiterConfig;
using velostream::Result;
namespace asio = boost::asio;

// Stands for a service that takes its time.
class Archive {
  public:
    asio::awaitable<Result<int>> pages_of(std::string title) {
        most_at_once_ = std::max(most_at_once_, ++running_);
        asio::steady_timer timer{co_await asio::this_coro::executor, 20ms};
        co_await timer.async_wait(asio::deferred);
        --running_;
        co_return static_cast<int>(title.size()) * 10;
    }
    int most_at_once() const { return most_at_once_; }

  private:
    int running_ = 0, most_at_once_ = 0;
};

asio::awaitable<void> look_up(Archive& archive, Bulkhead<>& bulkhead) {
    auto pages = [&] { return archive.pages_of("honey"); };
    auto found = co_await bulkhead.execute(pages);
    if (!found && found.error() == Errc::bulkhead_full) std::cout << "not asked: " << found.error() << '\n';
}

asio::awaitable<void> look_up_in_turn(Archive& archive, RateLimiter<>& limiter, Bulkhead<>& bulkhead) {
    Pipeline guarded{limiter, bulkhead}; // a place is taken when the turn has come, not before
    auto pages = [&] { return archive.pages_of("jam"); };
    for (int i = 0; i < 5; ++i) {
        auto deadline = std::chrono::steady_clock::now() + 1s;
        auto found = co_await guarded.execute(pages, deadline);
        if (found) std::cout << "jam: " << *found << " pages\n";
    }
}

asio::awaitable<void> import_all(Archive& archive, Bulkhead<>& bulkhead) {
    for (int i = 0; i < 3; ++i) {
        // A permit by hand, for what is no single call.
        auto permit = co_await bulkhead.async_acquire(asio::deferred);
        if (!permit) co_return;
        co_await archive.pages_of("tea");
        co_await archive.pages_of("toast");
    } // and it is given back
}

asio::awaitable<void> look_up_at_its_pace(Archive& archive, AdaptiveLimit<>& limit) {
    auto pages = [&] { return archive.pages_of("mustard"); };
    for (int i = 0; i < 5; ++i) {
        auto found = co_await limit.execute(pages);
        if (!found && found.error() == Errc::bulkhead_full) co_return; // as many as it serves well are under way
    }
}

void print(const AdaptiveLimit<>& limit) {
    auto calls = limit.get_stats();
    std::cout << "limit: " << calls.limit << " calls, " << calls.refused << " refused\n";
}

void print(const Bulkhead<>& bulkhead, const RateLimiter<>& limiter) {
    auto calls = bulkhead.get_stats();
    std::cout << "calls: " << calls.in_use << " of " << calls.max_concurrent << " running, " << calls.waiting
              << " waiting, " << calls.refused << " refused\n";
    auto starts = limiter.get_stats();
    std::cout << "starts: " << starts.granted << " granted, " << starts.refused << " refused\n";
}

} // namespace

int main() {
    asio::io_context io;
    Archive archive;
    Bulkhead bulkhead{BulkheadConfig{.max_concurrent = 3, .max_waiting = 10, .max_wait = 2s}};
    RateLimiter limiter{RateLimiterConfig{.permits = 20, .period = 1s, .burst = 2, .max_waiting = 100}};

    int failed = 0;
    auto ended = [&](std::exception_ptr thrown) { failed += thrown ? 1 : 0; };
    for (int i = 0; i < 15; ++i) asio::co_spawn(io, look_up(archive, bulkhead), ended);
    io.run();
    std::cout << "at most " << archive.most_at_once() << " at once\n";

    io.restart();
    asio::co_spawn(io, look_up_in_turn(archive, limiter, bulkhead), ended);
    asio::co_spawn(io, import_all(archive, bulkhead), ended);
    io.run();
    print(bulkhead, limiter);

    AdaptiveLimit limit{AdaptiveLimitConfig{.initial_limit = 4, .max_limit = 50, .max_waiting = 100, .max_wait = 2s}};
    io.restart();
    for (int i = 0; i < 6; ++i) asio::co_spawn(io, look_up_at_its_pace(archive, limit), ended);
    io.run();
    print(limit);
    return failed == 0 ? 0 : 1;
}
