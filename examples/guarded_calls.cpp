// SPDX-License-Identifier: Apache-2.0
// A service that goes away and comes back, called through a circuit breaker, a retry executor, and both. Prints what
// the callers see; ends after about a second.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <velostream/pipeline.hpp>

namespace {

using namespace std::chrono_literals;
using velostream::CallContext;
using velostream::CallOptions;
using velostream::CircuitBreaker;
using velostream::CircuitBreakerConfig;
using velostream::CircuitBreakerError;
using velostream::ErrorType;
using velostream::idempotent;
using velostream::Pipeline;
using velostream::Result;
using velostream::RetryAttempt;
using velostream::RetryBudget;
using velostream::RetryBudgetConfig;
using velostream::RetryConfig;
using velostream::RetryExecutor;
using velostream::RetryOptions;
namespace asio = boost::asio;

// Stands for a database or a broker.
class PriceService {
  public:
    void set_away(bool away) { away_ = away; }
    int calls() const { return calls_; }

    asio::awaitable<Result<int>> price_of(std::string article) {
        ++calls_;
        if (away_) co_return velostream::Error{asio::error::connection_refused};
        co_return static_cast<int>(article.size()) * 100;
    }

  private:
    bool away_ = false;
    int calls_ = 0;
};

asio::awaitable<void> look_up(PriceService& service, CircuitBreaker<>& breaker) {
    auto price_of_jam = [&] { return service.price_of("jam"); };
    auto price = co_await breaker.execute(price_of_jam);

    if (price)
        std::cout << "jam: " << *price << '\n';
    else if (price.error() == CircuitBreakerError::open)
        std::cout << "not asked, the service is away: " << price.error() << '\n';
    else
        std::cout << "asked in vain: " << price.error() << '\n';
}

asio::awaitable<void> wait_for_recovery(CircuitBreaker<>& breaker) {
    // Needs no traffic: completes when a call would be admitted.
    co_await breaker.async_ready(asio::deferred);
    std::cout << "worth another try: " << to_string(breaker.state()) << '\n';
}

void print(const CircuitBreaker<>& breaker) {
    auto stats = breaker.get_stats();
    std::cout << "Circuit Breaker - State: " << to_string(stats.state) << ", Failures: " << stats.failure_count
              << ", Success Rate: " << stats.success_rate * 100.0 << "%\n";
    if (auto reason = breaker.why_open()) std::cout << "opened last: " << reason->text << '\n';
}

asio::awaitable<void> store(PriceService& service, RetryExecutor<>& retry) {
    // Storing the same price twice does no harm: it is tried again even if nobody knows whether it was stored.
    auto store_price = idempotent([&](CallContext& call) {
        std::cout << "try " << call.attempt() << '\n';
        return service.price_of("honey");
    });
    auto stored = co_await retry.execute_with_retry(store_price);
    if (!stored) std::cout << "not stored: " << stored.error() << '\n';
}

asio::awaitable<void> store_within_budget(PriceService& service) {
    // Of the calls of both executors together at most a tenth is tried again, and one in ten seconds.
    RetryBudget budget{RetryBudgetConfig{.ratio = 0.1, .reserve_per_second = 0.1}};
    RetryOptions options{.budget = budget, .on_attempt = [](const RetryAttempt& attempt) {
                             if (attempt.error) std::cout << "tried: " << *attempt.error << '\n';
                         }};
    RetryConfig config{.backoff_strategy = velostream::FixedInterval{1ms}};
    RetryExecutor orders{config, options};
    RetryExecutor prices{config, options};

    auto store_price = [&] { return service.price_of("salt"); };
    CallOptions holding{.held_bytes = 4096};
    auto first = co_await orders.execute_with_retry(store_price, holding);
    auto second = co_await prices.execute_with_retry(store_price, holding);
    for (const auto* result : {&first, &second})
        if (!*result && result->error().retry_refused_by() == velostream::Errc::budget_exhausted)
            std::cout << "too much is tried again already: " << result->error() << '\n';
}

asio::awaitable<void> look_up_patiently(PriceService& service, CircuitBreaker<>& breaker, RetryExecutor<>& retry) {
    Pipeline guarded{retry, breaker}; // retry(breaker(call)): outermost first
    auto price_of_tea = [&] { return service.price_of("tea"); };
    auto deadline = std::chrono::steady_clock::now() + 5s;
    auto price = co_await guarded.execute(price_of_tea, deadline);
    if (price) std::cout << "tea: " << *price << '\n';
}

asio::awaitable<void> run() {
    PriceService service;
    CircuitBreaker breaker{"prices",
                           CircuitBreakerConfig{.failure_threshold = 2, .success_threshold = 1, .timeout = 200ms}};
    RetryExecutor retry{RetryConfig{.max_retries = 2, .backoff_strategy = velostream::FixedInterval{50ms}}};

    co_await look_up(service, breaker);
    service.set_away(true);
    for (int i = 0; i < 3; ++i) co_await look_up(service, breaker);
    print(breaker);
    co_await store(service, retry);
    co_await store_within_budget(service);

    service.set_away(false);
    co_await wait_for_recovery(breaker);
    co_await look_up_patiently(service, breaker, retry);
    print(breaker);
}

} // namespace

int main() {
    asio::io_context io;
    int exit_code = 1;
    asio::co_spawn(io, run(), [&](std::exception_ptr failed) { exit_code = failed ? 1 : 0; });
    io.run();
    return exit_code;
}
