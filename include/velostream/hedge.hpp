// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "velostream/async/frame_memory.hpp"
#include "velostream/async/guarded_call.hpp"
#include "velostream/async/hedge_race.hpp"
#include "velostream/async/operation.hpp"
#include "velostream/async/strand_work.hpp"
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
/// Each attempt runs in one coroutine frame of its own, with the policies inside of the hedge. Neither a call whose
/// first attempt answers nor one that is hedged takes anything from the heap, once there have been a few, on a strand
/// or a context for one thread and without a deadline; else see `Pipeline`. The answer goes to the caller's frame at
/// once: nothing of it stays with attempts that are still to end, and what these come to is dropped.
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

    /// For pipelines: a call begins, which is counted in the budget unless somebody else has counted it.
    detail::HedgeJudge& begin_call(bool is_counted) {
        calls_.fetch_add(1, std::memory_order_relaxed);
        if (budget_ && !is_counted) budget_->record_call(time_.now());
        return *this;
    }
    /// For pipelines: a hedge has decided a call.
    void record_won() noexcept { won_.fetch_add(1, std::memory_order_relaxed); }

  private:
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

template <class Operation, class Hedge, class... Inner>
struct HedgedOperation;

// One call of it, awaited in the frame of the policies outside. Each attempt is the coroutine in which its chain
// begins.
template <class Operation, class Hedge, class... Inner>
class HedgedCall;

template <class Operation, class Hedge, class... Inner>
struct HedgeTypes {
    using Call = HedgedCall<Operation, Hedge, Inner...>;
    using Success = OperationResult<Operation>;
    using Time = std::remove_cvref_t<decltype(std::declval<const Hedge&>().time())>;
    using Race = HedgeRace<Success, Time, Call>;
    using Base = AwaitedOnStrand<Call, Race>;
};

template <class Operation, class Hedge, class... Inner>
class HedgedCall : public HedgeTypes<Operation, Hedge, Inner...>::Base {
    using Types = HedgeTypes<Operation, Hedge, Inner...>;
    using Race = typename Types::Race;
    friend typename Types::Base;

  public:
    HedgedCall(HedgedOperation<Operation, Hedge, Inner...>& hedged, const CallContext& call)
        : hedged_(hedged),
          attempt_(CallOptions{.deadline = call.deadline(), .held_bytes = call.held_bytes()}),
          is_counted_(hedged.shares_budget || call.attempt() > 1) {
        attempt_.begin_attempt(call.attempt(), CallContext::no_deadline);
    }

    typename Types::Success&& end() {
        if (failure_) std::rethrow_exception(failure_);
        // Whatever the first attempt had failed with before.
        if (outcome_.is_callers_end) outcome_.result.emplace(blamed_on_caller(outcome_.result->error()));
        if (outcome_.winner.value_or(0) > 0) hedged_.hedge.record_won();
        return std::move(*outcome_.result);
    }

    // For the race: begins an attempt.
    template <class End>
    asio::awaitable<ChainEntry> operator()(End end) {
        return std::apply(
            [&](Inner&... policies) {
                return guarded_call_to(own_frame, std::move(end), Idempotent<Operation&>{hedged_.operation}, attempt_,
                                       hedged_.hedge, policies...);
            },
            hedged_.inner);
    }

  private:
    static Error blamed_on_caller(Error error) noexcept {
        blame_caller(error, false);
        return error;
    }

    std::shared_ptr<Race> make(const asio::any_io_executor& executor, bool is_callers, bool is_cancelled) {
        auto& judge = hedged_.hedge.begin_call(is_counted_);
        const typename Race::Course course{hedged_.hedge.time(), attempt_.deadline(), judge, *this, outcome_};
        return std::allocate_shared<Race>(FrameAllocator<Race>{}, executor, is_callers, is_cancelled, course);
    }
    void launch(Race& race) { race.begin(); }
    auto launcher(const std::shared_ptr<Race>& race) {
        return [race] { race->begin(); };
    }
    void fail(std::exception_ptr exception) noexcept { failure_ = std::move(exception); }

    HedgedOperation<Operation, Hedge, Inner...>& hedged_;
    CallContext attempt_; // of which each attempt has a copy
    const bool is_counted_;
    HedgeOutcome<typename Types::Success> outcome_;
    std::exception_ptr failure_;
};

// A hedge and all that is inside of it, as the operation of the policies outside of it.
template <class Operation, class Hedge, class... Inner>
struct HedgedOperation {
    static_assert(is_idempotent<Operation>,
                  "a hedge makes a call several times at once: mark the operation as idempotent(operation), if it is");

    Operation operation;
    Hedge& hedge;
    bool shares_budget; // with a retry around it
    std::tuple<Inner&...> inner;

    HedgedCall<Operation, Hedge, Inner...> operator()(CallContext& call) {
        return HedgedCall<Operation, Hedge, Inner...>{*this, call};
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
