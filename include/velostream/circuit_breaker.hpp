// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/async/ready_gate.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/circuit_breaker_events.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/breaker_classifier.hpp"
#include "velostream/core/breaker_machine.hpp"
#include "velostream/core/breaker_report.hpp"

namespace velostream {

/// Stops calling a service that fails, and finds out by itself when it is well again.
///
/// ```cpp
/// CircuitBreaker breaker{"orders-db", {.failure_threshold = 5, .success_threshold = 3, .timeout = 60s}};
/// auto query = [&] { return database_query(); };
/// auto rows = co_await breaker.execute(query);
/// if (!rows && rows.error() == CircuitBreakerError::open) …
/// ```
///
/// Closed: all calls pass and their outcomes are judged, by the rules of `CircuitBreakerConfig`. Open: all calls are
/// refused until `timeout` has passed. Half-open: at most `success_threshold` probes pass; so many successes close the
/// circuit, one failure opens it again. A call is only judged in the state in which it began.
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config.
/// Threads:  safe. Successes of a closed circuit and refusals of an open one take no lock; failures, slow calls,
///           probes, changes of state and statistics take a mutex for a moment, under which no code of yours runs.
/// Lifetime: must outlive its permits and the calls that it guards.
template <TimeSource Time = SteadyTime>
class CircuitBreaker {
    struct State;

  public:
    explicit CircuitBreaker(const CircuitBreakerConfig& config, std::shared_ptr<Observer> observer = nullptr,
                            Time time = {}, CallClassifier classifier = {})
        : CircuitBreaker("circuit-breaker", config, std::move(observer), std::move(time), std::move(classifier)) {}
    CircuitBreaker(std::string name, const CircuitBreakerConfig& config, std::shared_ptr<Observer> observer = nullptr,
                   Time time = {}, CallClassifier classifier = {})
        : state_(std::make_shared<State>(std::move(name), validated(config), std::move(observer), std::move(time),
                                         std::move(classifier))) {}
    CircuitBreaker(const CircuitBreaker&) = delete;
    CircuitBreaker& operator=(const CircuitBreaker&) = delete;
    ~CircuitBreaker() { state_->close(); }

    /// Leave to make one call. Say how it went; a permit that is destroyed without a word judges nothing.
    ///
    /// Threads:  belongs to one call at a time.
    /// Lifetime: not longer than its breaker.
    class Permit {
      public:
        Permit(Permit&& other) noexcept : state_(std::exchange(other.state_, nullptr)), permit_(other.permit_) {}
        Permit& operator=(Permit&& other) noexcept {
            Permit{std::move(other)}.swap(*this);
            return *this;
        }
        ~Permit() {
            if (state_) state_->abandon(permit_);
        }

        /// The call succeeded. Only the first word about a call counts.
        void success() {
            if (state_) std::exchange(state_, nullptr)->record_success(permit_);
        }
        /// The call failed; the classifier says whether that counts against the service.
        void failure(const Error& error) {
            if (state_) std::exchange(state_, nullptr)->record_failure(permit_, error);
        }
        /// The call says nothing about the service.
        void ignore() {
            if (state_) std::exchange(state_, nullptr)->record(permit_, CallOutcomeKind::ignored);
        }

      private:
        friend CircuitBreaker;
        Permit(State& state, const BreakerPermit& permit) noexcept : state_(&state), permit_(permit) {}
        void swap(Permit& other) noexcept {
            std::swap(state_, other.state_);
            std::swap(permit_, other.permit_);
        }

        State* state_; // null once it has said something
        BreakerPermit permit_;
    };

    /// Runs `operation` if the circuit admits it, and judges how it went.
    ///
    /// Completes with: its result, or `Errc::circuit_open` with `retry_after` where that is known. What it throws
    ///                 becomes an `Error`.
    /// Cancellation:   all kinds go to the operation; a cancelled call is not judged and gives its permit back.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Operation operation, CallOptions options = {}) {
        return detail::guarded_call(std::move(operation), options, *this);
    }

    /// Leave to make one call, for code that does not fit into `execute`.
    ///
    /// Errors: `Errc::circuit_open`, as `execute`. Allocates nothing.
    Result<Permit> try_acquire() {
        if (const auto permit = state_->machine.try_acquire_closed(state_->time())) [[likely]]
            return Permit{*state_, *permit};
        return try_acquire_otherwise();
    }

    /// Waits until a call would be admitted: first come first served, one waiter for each probe that is admitted,
    /// everybody when the circuit closes. Needs no traffic and does not poll. Being ready is no permit: others may be
    /// quicker. A waiter that makes no call delays the next by the smaller of `timeout` and one second.
    ///
    /// Completes with: `error_code`: success, or `operation_aborted` for cancellation or the end of the breaker.
    /// Cancellation:   all kinds; leaves nothing behind.
    template <asio::completion_token_for<WaitQueue::Signature> Token>
    auto async_ready(Token&& token) {
        return state_->async_ready(std::forward<Token>(token));
    }

    /// The state in which a call would find the circuit now: `half_open` as soon as `timeout` has passed.
    CircuitState state() const { return state_->machine.state(state_->time().now()); }

    CircuitBreakerStats get_stats() const {
        return stats_of(state_->machine.snapshot(state_->time().now()), state_->machine.window_size());
    }

    /// Which rule opened the circuit last, with which numbers and after which error; nothing if it never opened, or has
    /// been reset since.
    std::optional<OpenReason> why_open() const { return state_->events.why_open(); }

    /// Refuses all calls, whatever time passes.
    void force_open() { state_->set_state(CircuitState::forced_open); }
    /// Closes the circuit with an empty window, unless it is closed. Results of calls that are out will not be judged.
    void force_close() { state_->set_state(CircuitState::closed); }
    /// Admits all calls and judges none, until another state is set.
    void disable() { state_->set_state(CircuitState::disabled); }
    /// Admits all calls and only keeps the statistics of a window that starts empty, until another state is set.
    void metrics_only() { state_->set_state(CircuitState::metrics_only); }
    /// Closes the circuit with an empty window, also if it is closed, and forgets `why_open`. Totals go on counting.
    void reset() { state_->reset(); }

    /// Tells `observer`, instead of the one before, about changes of state and refusals.
    void set_observer(std::shared_ptr<Observer> observer) { state_->events.set_observer(std::move(observer)); }

    /// Also calls `callback` for every change of state: in their order, once, after it took effect, under no lock.
    /// It must not throw: that ends the program. Where there is no memory to tell of a change, it is told with the
    /// next.
    void on_state_change(std::function<void(const CircuitStateChanged&)> callback) {
        state_->events.on_state_change(std::move(callback));
    }

    std::string_view name() const noexcept { return state_->events.name(); }
    const CircuitBreakerConfig& config() const noexcept { return state_->events.config(); }

    /// For pipelines.
    const Time& time() const noexcept { return state_->time(); }

    /// The breaker's part in one call.
    class Guard {
      public:
        explicit Guard(CircuitBreaker& breaker) noexcept : state_(*breaker.state_) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() {
            if (holds_) state_.abandon(permit_);
        }

        Decision before(CallContext&) {
            if (const auto permit = state_.machine.try_acquire_closed(state_.time())) [[likely]] {
                permit_ = *permit;
                holds_ = true;
                return Decision::proceed();
            }
            return before_otherwise();
        }
        void after_success(CallContext&) noexcept {
            holds_ = false;
            state_.record_success(permit_);
        }
        Verdict after_failure(CallContext&, const Error& error) {
            holds_ = false;
            state_.record_failure(permit_, error);
            return Verdict::pass_on();
        }

      private:
        [[gnu::noinline]] Decision before_otherwise() {
            if (const auto rest = state_.machine.refuse_by_coarse_clock(state_.time().coarse_now()))
                return Decision::refuse(state_.events.refuse(rest));
            const auto admission = state_.acquire();
            if (!admission.permit) return Decision::refuse(state_.events.refuse(admission.retry_after));
            permit_ = *admission.permit;
            holds_ = true;
            return Decision::proceed();
        }

        State& state_;
        BreakerPermit permit_;
        bool holds_ = false;
    };

  private:
    [[gnu::noinline]] Result<Permit> try_acquire_otherwise() {
        if (const auto rest = state_->machine.refuse_by_coarse_clock(state_->time().coarse_now()))
            return state_->events.refuse(rest);
        const auto admission = state_->acquire();
        if (admission.permit) return Permit{*state_, *admission.permit};
        return state_->events.refuse(admission.retry_after);
    }

    // What the alarm of `async_ready` needs too, and may therefore see after the breaker has gone.
    struct State final : ReadyGate<Time> {
        State(std::string name, const CircuitBreakerConfig& config, std::shared_ptr<Observer> observer, Time clock,
              CallClassifier rules)
            : ReadyGate<Time>(std::move(clock), std::min<Duration>(config.timeout, std::chrono::seconds{1})),
              machine(config),
              classifier(std::move(rules)),
              events(std::move(name), config, std::move(observer)) {}

        BreakerMachine::Admission acquire() {
            const auto admission = machine.try_acquire(this->time().now());
            if (admission.permit && admission.permit->probe) this->withdraw_invitation();
            if (admission.changed) changed();
            return admission;
        }

        // None of these throws: a permit that was given is used, and one that was taken back is gone.
        void record_success(const BreakerPermit& permit) noexcept {
            react(machine.record_success(permit, this->time()));
        }
        void record_failure(const BreakerPermit& permit, const Error& error) noexcept {
            record(permit, classifier.classify(error), &error);
        }
        void record(const BreakerPermit& permit, CallOutcomeKind kind, const Error* error = nullptr) noexcept {
            react(machine.record(permit, kind, this->time(), error));
        }
        void react(BreakerEffect effect) noexcept {
            if (effect == BreakerEffect::none) [[likely]]
                return;
            if (effect == BreakerEffect::state_changed)
                changed();
            else
                this->update();
        }
        void abandon(const BreakerPermit& permit) noexcept { record(permit, CallOutcomeKind::cancelled); }

        void set_state(CircuitState to) {
            if (machine.set_state(to, this->time().now())) changed();
        }
        void reset() {
            const bool was_another = machine.reset(this->time().now());
            events.forget_reason();
            if (was_another) changed();
        }

        void changed() noexcept {
            try {
                machine.publish_transitions([&](const BreakerTransition& transition) {
                    if (transition.to != CircuitState::half_open) this->forget_invitations();
                    events.publish(transition);
                });
            } catch (const std::bad_alloc&) { // told with the next change
            }
            this->update();
        }

        std::uint32_t admissible(TimePoint now) const override { return machine.admissible(now); }
        std::optional<TimePoint> next_change(TimePoint now) const override { return machine.next_change(now); }
        void settle(TimePoint now) override {
            if (machine.settle(now)) changed();
        }

        BreakerMachine machine;
        CallClassifier classifier;
        detail::CircuitBreakerEvents events;
    };

    std::shared_ptr<State> state_;
};

} // namespace velostream
