// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
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
#include "velostream/core/accounted_memory.hpp"
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
/// Threads:  safe. Successes of a closed circuit and refusals of an open one take no lock; failures, slow calls, the
///           first outcomes in the window up to its largest minimum, the first of each bucket of a window of time,
///           probes, changes of state and statistics take a mutex for a moment, under which no code of yours runs. With
///           `ConfinedMemory` one thread at a time, in everything, `async_ready` included: for breakers that live on a
///           strand, at less than half the cost.
/// Lifetime: must outlive its permits and the calls that it guards. A callback of `on_state_change` may still be
///           running on the context of one who waited when the breaker has ended.
template <TimeSource Time = SteadyTime, class Memory = SharedMemory>
class CircuitBreaker {
    using Machine = BasicBreakerMachine<Memory>;
    struct State;

  public:
    /// `account` is charged with what the breaker holds, the state, the window as it grows and who waits for it. Where
    /// it refuses to let the window grow, no outcome is lost: older failures stay in it for as long as newer ones (see
    /// `OutcomeRuns`). `seed` is that of `timeout_jitter`; unset, every breaker has its own.
    ///
    /// Throws `MemoryRefusedException` if `account` has no room for an empty breaker, about 4 KiB.
    explicit CircuitBreaker(const CircuitBreakerConfig& config, std::shared_ptr<Observer> observer = nullptr,
                            Time time = {}, CallClassifier classifier = {}, MemoryAccount account = {},
                            std::optional<std::uint64_t> seed = std::nullopt)
        : CircuitBreaker("circuit-breaker", config, std::move(observer), std::move(time), std::move(classifier),
                         std::move(account), seed) {}
    CircuitBreaker(std::string name, const CircuitBreakerConfig& config, std::shared_ptr<Observer> observer = nullptr,
                   Time time = {}, CallClassifier classifier = {}, MemoryAccount account = {},
                   std::optional<std::uint64_t> seed = std::nullopt)
        : state_(std::allocate_shared<State>(AccountedAllocator<State>{account}, std::move(name), validated(config),
                                             std::move(observer), std::move(time), std::move(classifier), account,
                                             seed)) {}
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
        return detail::guarded_call(detail::own_frame, std::move(operation), options, *this);
    }

    /// Leave to make one call, for code that does not fit into `execute`.
    ///
    /// Does not throw. Permits of a closed circuit and refusals of an open one allocate nothing.
    ///
    /// Errors: `Errc::circuit_open`, as `execute`; also for a probe beyond the 16th that is out, where there is no
    ///         memory for it.
    Result<Permit> try_acquire() noexcept {
        if (const auto permit = state_->machine.try_acquire_closed(state_->time())) [[likely]]
            return Permit{*state_, *permit};
        return try_acquire_otherwise();
    }

    /// Waits until a call would be admitted: first come first served, one waiter for each probe that is admitted,
    /// everybody when the circuit closes. Needs no traffic and does not poll. Being ready is no permit: others may be
    /// quicker. A waiter that makes no call delays the next by the smaller of `timeout` and one second. That the time
    /// has come is noticed in the context of the one who waits longest; where that stands still, so much later in those
    /// of the others. A waiter whose context stands still delays the next as one that makes no call.
    ///
    /// Errors:         throws `std::bad_alloc`, and then nobody waits, where the heap has no memory for it, as
    ///                 operations of Asio do.
    /// Completes with: `error_code`: success; `operation_aborted` for cancellation or the end of the breaker; at once
    ///                 with `Errc::memory_limit_exceeded` where the account has no room for who has to wait, about 300
    ///                 bytes. That is no leave to call: rest for a moment before the next wait.
    /// Cancellation:   all kinds; leaves nothing behind.
    template <asio::completion_token_for<WaitQueue::Signature> Token>
    auto async_ready(Token&& token) {
        return state_->async_ready(std::forward<Token>(token));
    }

    /// The state in which a call would find the circuit now: `half_open` as soon as `timeout` has passed.
    CircuitState state() const { return state_->machine.state(state_->time().now()); }

    CircuitBreakerStats get_stats() const { return stats_of(state_->machine.snapshot(state_->time().now()), config()); }

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

    /// Tells `observer`, instead of the one before, about changes of state and refusals. That one is let go of now, or,
    /// if it is just being told something, when another one is set or the breaker ends.
    void set_observer(std::shared_ptr<Observer> observer) { state_->events.set_observer(std::move(observer)); }

    /// Also calls `callback` for every change of state: in their order, once, after it took effect, under no lock.
    /// It must not throw: that ends the program. Where there is no memory to tell of a change, it is told with the
    /// next. It cannot be taken back: what it refers to must outlive the breaker, and calls that are still running
    /// then. Whoever goes earlier gives it a `std::weak_ptr`, or uses `set_observer`.
    void on_state_change(std::function<void(const CircuitStateChanged&)> callback) {
        state_->events.on_state_change(std::move(callback));
    }

    std::string_view name() const noexcept { return state_->events.name(); }
    /// As it is now.
    CircuitBreakerConfig config() const { return state_->events.config(); }

    /// From now on another configuration, while calls go on. The state stays, and so do permits, probes that are out
    /// and statistics; outcomes in the window stay as far as the new window has room, the newest first. If the new
    /// rules find that too many of them failed, the circuit opens with the next outcome. What has begun ends by the old
    /// numbers: the wait of an open circuit, and the number and the longest time of the probes of a half-open one.
    ///
    /// Errors: throws as the constructor, and then changes nothing.
    void reconfigure(const CircuitBreakerConfig& config) { state_->reconfigure(validated(config)); }

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
    [[gnu::noinline]] Result<Permit> try_acquire_otherwise() noexcept {
        if (const auto rest = state_->machine.refuse_by_coarse_clock(state_->time().coarse_now()))
            return state_->events.refuse(rest);
        const auto admission = state_->acquire();
        if (admission.permit) return Permit{*state_, *admission.permit};
        return state_->events.refuse(admission.retry_after);
    }

    // What the alarm of `async_ready` needs too, and may therefore see after the breaker has gone.
    struct State final : ReadyGate<Time> {
        State(std::string name, const CircuitBreakerConfig& config, std::shared_ptr<Observer> observer, Time clock,
              CallClassifier rules, MemoryAccount account, std::optional<std::uint64_t> seed)
            : ReadyGate<Time>(std::move(clock), patience_of(config)),
              memory(std::move(account)),
              machine(config, seed, memory),
              classifier(std::move(rules)),
              events(std::move(name), config, std::move(observer)) {}

        typename Machine::Admission acquire() noexcept {
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
        void reconfigure(const CircuitBreakerConfig& config) {
            bool settled = false;
            {
                const std::lock_guard lock{reconfiguring}; // who comes last is last in every part
                settled = machine.reconfigure(config, this->time().now());
                events.set_config(config);
                this->set_patience(patience_of(config));
            }
            if (settled)
                changed();
            else
                this->update(); // there may be room for more probes
        }
        static Duration patience_of(const CircuitBreakerConfig& config) noexcept {
            return std::min<Duration>(config.timeout, std::chrono::seconds{1});
        }
        void reset() {
            const bool was_another = machine.reset(this->time().now());
            events.forget_reason(machine.resets());
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
        Result<std::shared_ptr<void>> make_room(Bytes bytes) override { return try_hold(memory.account(), bytes); }

        AccountedResource memory;
        Machine machine;
        CallClassifier classifier;
        detail::CircuitBreakerEvents events;
        std::mutex reconfiguring;
    };

    std::shared_ptr<State> state_;
};

/// A circuit breaker in plain memory, for one thread at a time.
template <TimeSource Time = SteadyTime>
using ConfinedCircuitBreaker = CircuitBreaker<Time, ConfinedMemory>;

} // namespace velostream
