// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/deferred.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/async/hedge_race.hpp"
#include "velostream/config/hedge_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/retry_budget.hpp"

namespace velostream {

/// What a hedge did so far.
struct HedgeStats {
    std::uint64_t calls = 0;   ///< that began
    std::uint64_t hedges = 0;  ///< attempts beside the first, over all calls
    std::uint64_t won = 0;     ///< calls that one of these decided
    std::uint64_t refused = 0; ///< attempts that the budget did not allow
};

/// Makes a call again while it is still running, if it takes long: the first answer counts, the others are cancelled.
/// Against a service that is slow now and then it cuts the slowest calls off; it does not help against one that is
/// slow for everybody.
///
/// ```cpp
/// Hedge hedge{HedgeConfig{.delay = 50ms}};
/// Pipeline guarded{breaker, hedge};
/// auto read = idempotent([&] { return replica.read(key); });
/// auto row = co_await guarded.execute(read);
/// ```
///
/// The next attempt starts after `delay`, or at once when one fails in a way that is retried by default (network,
/// timeout, service unavailable), but none after the deadline of the call. Policies inside of the hedge guard each
/// attempt by itself. The call ends when every attempt has: one that ignores its cancellation is waited for. If all
/// fail, the call fails as the first did; as the caller's cancellation, with that inside, where one of them ended
/// because of it, whatever the first had failed with before.
///
/// The operation must be marked `idempotent`, and be callable again while an earlier attempt of the call runs; attempts
/// of a call share a strand, so that they are never called at the same moment.
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads:  safe.
/// Lifetime: must outlive the calls that it guards.
template <TimeSource Time = SteadyTime>
class Hedge final : private detail::HedgeJudge {
  public:
    /// Attempts beside the first are withdrawn from `budget`, if there is one: share it with the retries around them.
    /// A call is counted there once, by whichever of them is outermost. Where it is empty the call goes on without
    /// another attempt.
    explicit Hedge(const HedgeConfig& config, Time time = {}, std::optional<RetryBudget> budget = std::nullopt)
        : config_(validated(config)), time_(std::move(time)), budget_(std::move(budget)) {}
    Hedge(const Hedge&) = delete;
    Hedge& operator=(const Hedge&) = delete;

    const HedgeConfig& config() const noexcept { return config_; }
    HedgeStats get_stats() const noexcept {
        return {calls_.load(std::memory_order_relaxed), hedges_.load(std::memory_order_relaxed),
                won_.load(std::memory_order_relaxed), refused_.load(std::memory_order_relaxed)};
    }

    /// The budget that it takes attempts from, if it has one.
    const std::optional<RetryBudget>& budget() const noexcept { return budget_; }

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// Lets every try pass: what a hedge does is done around the operation.
    class Guard {
      public:
        explicit Guard(Hedge&) noexcept {}
        Decision before(CallContext&) noexcept { return Decision::proceed(); }
        void after_success(CallContext&) noexcept {}
        Verdict after_failure(CallContext&, const Error&) noexcept { return Verdict::pass_on(); }
    };

    /// For pipelines: runs attempts, each of which `start()` makes, and begins none after `deadline`. `is_counted` by
    /// somebody else in the budget.
    template <class Success, class Start>
    asio::awaitable<Success> race(detail::OwnFrame, Start start, TimePoint deadline, bool is_counted) {
        using Race = detail::HedgeRace<Success, Time, Start>;
        calls_.fetch_add(1, std::memory_order_relaxed);
        if (budget_ && !is_counted) budget_->record_call(time_.now());
        const auto executor = co_await asio::this_coro::executor;
        const auto state = co_await asio::this_coro::cancellation_state;
        auto race = std::allocate_shared<Race>(asio::recycling_allocator<Race>{}, executor, time_, deadline,
                                               state.cancelled() != asio::cancellation_type::none, judge(), start);
        // Until this coroutine resumes, its own slot has no other use.
        if (auto own = state.slot(); own.is_connected()) {
            own.assign([weak = std::weak_ptr{race}](asio::cancellation_type kind) {
                if (const auto alive = weak.lock()) alive->cancel(kind);
            });
        }
        // The race has the handler, and with it this frame: from here on the frame must not have the race.
        auto begin = [&race](auto handler) {
            const auto begun = std::exchange(race, nullptr);
            begun->begin(std::move(handler));
        };
        asio::deferred_t token;
        auto ended = asio::async_initiate<asio::deferred_t, void(typename Race::Outcome)>(begin, token);
        auto outcome = co_await std::move(ended);
        if (outcome.is_callers_end) { // whatever the first attempt had failed with before
            auto error = outcome.result.error();
            detail::blame_caller(error, false);
            co_return error;
        }
        if (outcome.winner.value_or(0) > 0) won_.fetch_add(1, std::memory_order_relaxed);
        co_return std::move(outcome.result);
    }

  private:
    detail::HedgeJudge& judge() noexcept { return *this; }

    std::optional<Duration> delay_before(std::uint32_t number) const override {
        return number <= config_.max_hedges ? std::optional{config_.delay} : std::nullopt;
    }
    bool goes_on_after(const Error& error) const override {
        return error == ErrorType::network || error == ErrorType::timeout || error == ErrorType::service_unavailable;
    }
    bool may_start() override {
        if (budget_) {
            auto withdrawal = budget_->try_withdraw(time_.now());
            if (!withdrawal) {
                refused_.fetch_add(1, std::memory_order_relaxed);
                return false;
            }
            withdrawal->spend();
        }
        hedges_.fetch_add(1, std::memory_order_relaxed);
        return true;
    }

    const HedgeConfig config_;
    const Time time_;
    std::optional<RetryBudget> budget_;
    // relaxed: counts only.
    std::atomic<std::uint64_t> calls_{0}, hedges_{0}, won_{0}, refused_{0};
};

namespace detail {

// A hedge and all that is inside of it, as the operation of the policies outside of it.
template <class Operation, class Hedge, class... Inner>
struct HedgedOperation {
    static_assert(is_idempotent<Operation>,
                  "a hedge makes a call several times at once: mark the operation as idempotent(operation), if it is");

    Operation operation;
    Hedge& hedge;
    bool shares_budget; // with a retry around it
    std::tuple<Inner&...> inner;

    asio::awaitable<OperationResult<Operation>> operator()(CallContext& call) {
        CallContext attempt{CallOptions{.deadline = call.deadline(), .held_bytes = call.held_bytes()}};
        attempt.begin_attempt(call.attempt(), CallContext::no_deadline);
        auto start = [this, attempt] {
            return std::apply(
                [&](Inner&... policies) {
                    return guarded_call(own_frame, Idempotent<Operation&>{operation}, attempt, hedge, policies...);
                },
                inner);
        };
        return hedge.template race<OperationResult<Operation>>(own_frame, std::move(start), call.deadline(),
                                                               shares_budget || call.attempt() > 1);
    }
};

template <class Operation, class Hedge, class... Inner>
HedgedOperation(Operation, Hedge&, bool, std::tuple<Inner&...>) -> HedgedOperation<Operation, Hedge, Inner...>;

// By its attempts, which are guarded calls.
template <class Operation, class Hedge, class... Inner>
inline constexpr bool knows_who_was_first<HedgedOperation<Operation, Hedge, Inner...>> = true;

} // namespace detail

template <class Operation, class Hedge, class... Inner>
inline constexpr bool is_idempotent<detail::HedgedOperation<Operation, Hedge, Inner...>> = true;

} // namespace velostream
