// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/keyed_circuit_breakers_store.hpp"

namespace velostream {

/// A circuit breaker for each of very many keys: customers, partitions, hosts. A key of which nothing bad is known
/// costs nothing but a look: its circuit is closed, and it gets an entry with its first failure or slow call. Its
/// window begins there; once nothing bad is left in it, the entry goes again.
///
/// So calls that went well before a key's first failure are not counted. For `failure_threshold` alone that makes no
/// difference. A rate is that since the first failure until the window is full: higher than a single breaker's, and
/// 1 for a key that fails ten times after any number of successes. Minimums are counted from there, too. Give keys
/// numbers (`failure_threshold = 50` for half of the last 100), or a `minimum_throughput` as large as the window, which
/// then opens no earlier than a window after the first failure.
///
/// ```cpp
/// KeyedCircuitBreakers<std::string> breakers{"shops", {.breaker = {.failure_threshold = 5}, .max_keys = 100'000}};
/// auto rows = co_await breakers.execute(shop, query);
/// ```
///
/// With `max_keys` entries, a key that fails for the first time takes the place of one that is closed and in whose
/// window nothing bad is left, if one is found. Open and half-open circuits, those with failures in their window and
/// those that somebody waits for are never given up for another: then the failures of the new key go uncounted, but for
/// `untracked` in the statistics, and its circuit stays closed. So it is where the account has no room for an entry.
///
/// Errors:   the constructor throws `std::invalid_argument` that lists every problem of the config, and
///           `MemoryRefusedException` if the account has no room for what tells keys with entries from others: 8 to 16
///           bytes for each of `max_keys`, and up to 24 KiB.
/// Threads:  safe. Calls of a key without an entry take no lock, but for failures and slow calls, and but for few whose
///           hash is like that of a key with one. All others take one of up to 64 mutexes for a moment, under which
///           none of your code runs but that of keys (hash, comparison, copy, destruction, conversion to text) and the
///           time source.
/// Lifetime: must outlive its permits, its handles, and the calls that it guards. A callback of `on_state_change` may
///           still be running on the context of one who waited when the breakers have ended.
template <class Key, TimeSource Time = SteadyTime, class Hash = std::hash<Key>, class Equal = std::equal_to<>>
class KeyedCircuitBreakers {
    using Store = detail::KeyedBreakerStore<Key, Time, Hash, Equal>;

  public:
    /// `account` is charged with the entries, as they come and go, with who waits for their circuits, and with what
    /// tells keys with entries from others.
    /// `seed` is that of `timeout_jitter`.
    KeyedCircuitBreakers(std::string name, const KeyedCircuitBreakersConfig& config,
                         std::shared_ptr<Observer> observer = nullptr, Time time = {}, CallClassifier classifier = {},
                         MemoryAccount account = {}, std::optional<std::uint64_t> seed = std::nullopt)
        : store_(std::allocate_shared<Store>(AccountedAllocator<Store>{account}, std::move(name), validated(config),
                                             std::move(observer), std::move(time), std::move(classifier), account,
                                             seed)) {}
    KeyedCircuitBreakers(const KeyedCircuitBreakers&) = delete;
    KeyedCircuitBreakers& operator=(const KeyedCircuitBreakers&) = delete;
    ~KeyedCircuitBreakers() { store_->close(); }

    /// Leave to make one call for a key. Say how it went; a permit that is destroyed without a word judges nothing.
    ///
    /// Threads:  belongs to one call at a time.
    /// Lifetime: not longer than its breakers.
    class Permit {
      public:
        Permit(Permit&& other) noexcept(std::is_nothrow_move_constructible_v<Key>)
            : store_(std::exchange(other.store_, nullptr)), key_(std::move(other.key_)), permit_(other.permit_) {}
        Permit& operator=(Permit&&) = delete;
        ~Permit() {
            if (store_) store_->record(key_, store_->hash(key_), permit_, CallOutcomeKind::cancelled);
        }

        /// The call succeeded. Only the first word about a call counts.
        void success() { say(CallOutcomeKind::success); }
        /// The call failed; the classifier says whether that counts against the key.
        void failure(const Error& error) {
            if (store_) say(store_->classify(error), &error);
        }
        /// The call says nothing about the key.
        void ignore() { say(CallOutcomeKind::ignored); }

      private:
        friend KeyedCircuitBreakers;
        Permit(Store& store, Key key, const BreakerPermit& permit)
            : store_(&store), key_(std::move(key)), permit_(permit) {}
        void say(CallOutcomeKind kind, const Error* error = nullptr) {
            if (auto* store = std::exchange(store_, nullptr))
                store->record(key_, store->hash(key_), permit_, kind, error);
        }

        Store* store_; // null once it has said something
        Key key_;
        BreakerPermit permit_;
    };

    /// The breaker of one key, for pipelines: `auto breaker = breakers.of(shop); Pipeline guarded{retry, breaker};`.
    /// A key and a reference; costs nothing to make. Its functions say the same as those of `KeyedCircuitBreakers`.
    ///
    /// Lifetime: must outlive the calls that it guards.
    class Breaker {
      public:
        CircuitState state() const { return store_.state(key_, hash_); }
        CircuitBreakerStats get_stats() const { return store_.get_stats(key_, hash_); }
        std::optional<OpenReason> why_open() const { return store_.why_open(key_, hash_); }
        template <asio::completion_token_for<WaitQueue::Signature> Token>
        auto async_ready(Token&& token) {
            return ready(store_, key_, std::forward<Token>(token));
        }
        const Time& time() const noexcept { return store_.time(); }

        /// The breaker's part in one call.
        class Guard {
          public:
            explicit Guard(Breaker& breaker) noexcept : breaker_(breaker) {}
            Guard(const Guard&) = delete;
            Guard& operator=(const Guard&) = delete;
            ~Guard() {
                if (permit_) say(CallOutcomeKind::cancelled);
            }

            Decision before(CallContext&) {
                const auto admission = breaker_.store_.acquire(breaker_.key_, breaker_.hash_);
                if (!admission.permit) return Decision::refuse(breaker_.store_.refuse(admission.retry_after));
                permit_ = admission.permit;
                return Decision::proceed();
            }
            void after_success(CallContext&) noexcept { say(CallOutcomeKind::success); }
            Verdict after_failure(CallContext&, const Error& error) {
                say(breaker_.store_.classify(error), &error);
                return Verdict::pass_on();
            }

          private:
            void say(CallOutcomeKind kind, const Error* error = nullptr) noexcept {
                const auto permit = *std::exchange(permit_, std::nullopt);
                breaker_.store_.record(breaker_.key_, breaker_.hash_, permit, kind, error);
            }

            Breaker& breaker_;
            std::optional<BreakerPermit> permit_;
        };

      private:
        friend KeyedCircuitBreakers;
        Breaker(Store& store, Key key) : store_(store), key_(std::move(key)), hash_(store.hash(key_)) {}

        Store& store_;
        const Key key_;
        const std::size_t hash_;
    };
    Breaker of(Key key) { return Breaker{*store_, std::move(key)}; }

    /// Runs `operation` if the circuit of `key` admits it, and judges how it went.
    ///
    /// Completes with: its result, or `Errc::circuit_open` with `retry_after` where that is known. What it throws
    ///                 becomes an `Error`.
    /// Cancellation:   all kinds go to the operation; a cancelled call is not judged and gives its permit back.
    template <AsyncOperation Operation>
    asio::awaitable<OperationResult<Operation>> execute(Key key, Operation operation, CallOptions options = {}) {
        Breaker breaker{*store_, std::move(key)};
        auto running = detail::guarded_call(detail::own_frame, std::move(operation), options, breaker);
        co_return co_await std::move(running);
    }

    /// Leave to make one call for `key`, for code that does not fit into `execute`.
    ///
    /// Allocates nothing of its own for keys without an entry, permits of a closed circuit and refusals of an open one.
    ///
    /// Errors: `Errc::circuit_open`, as `execute`; also for a probe beyond the 16th that is out, where there is no
    ///         memory for it.
    Result<Permit> try_acquire(Key key) {
        const auto admission = store_->acquire(key, store_->hash(key));
        if (!admission.permit) return store_->refuse(admission.retry_after);
        return Permit{*store_, std::move(key), *admission.permit};
    }

    /// Waits until a call for `key` would be admitted: first come first served among those of one key, one waiter for
    /// each probe that is admitted, everybody when the circuit closes; at once where it is closed. In all of this as
    /// `CircuitBreaker::async_ready`. A key for which somebody waits keeps its entry.
    ///
    /// Errors:         throws `std::bad_alloc`, and then nobody waits, where the heap has no memory for it.
    /// Completes with: `error_code`: success; `operation_aborted` for cancellation or the end of the breakers; at once
    ///                 with `Errc::memory_limit_exceeded` where the account has no room for who has to wait, about 300
    ///                 bytes, and as many again for the first of a key.
    /// Cancellation:   all kinds; leaves nothing behind.
    template <asio::completion_token_for<WaitQueue::Signature> Token>
    auto async_ready(Key key, Token&& token) {
        return ready(*store_, std::move(key), std::forward<Token>(token));
    }

    /// The state in which a call would find the circuit of `key` now.
    CircuitState state(const Key& key) const { return store_->state(key, store_->hash(key)); }
    /// What is known of `key`; an empty window and no totals if it has no entry.
    CircuitBreakerStats get_stats(const Key& key) const { return store_->get_stats(key, store_->hash(key)); }
    /// Of all keys together.
    KeyedCircuitBreakersStats get_stats() const { return store_->get_stats(); }

    /// Which rule opened the circuit of `key` last, with which numbers and after which error; nothing if it never did,
    /// has been reset since, or has closed and lost its entry.
    std::optional<OpenReason> why_open(const Key& key) const { return store_->why_open(key, store_->hash(key)); }

    /// The states that are set by hand, for one key: as `CircuitBreaker::force_open`, `disable` and `metrics_only`. The
    /// key gets an entry, which is never given up for another, until `force_close` or `reset`.
    ///
    /// Returns: false, and nothing has changed, where no entry is free: all `max_keys` are of keys of which something
    ///          bad is known, or in such a state.
    /// Errors:  throws `std::bad_alloc` where there is no memory for an entry; that is a `MemoryRefusedException` where
    ///          the account has no room for it.
    [[nodiscard]] bool force_open(const Key& key) { return set_state(key, CircuitState::forced_open); }
    [[nodiscard]] bool disable(const Key& key) { return set_state(key, CircuitState::disabled); }
    [[nodiscard]] bool metrics_only(const Key& key) { return set_state(key, CircuitState::metrics_only); }
    /// Closes the circuit of `key` with an empty window, unless it is closed.
    void force_close(const Key& key) { (void)set_state(key, CircuitState::closed); }

    /// Closes the circuit of `key` with an empty window, if it has an entry, and forgets `why_open`. Results of its
    /// calls that are out will not be judged then.
    void reset(const Key& key) { store_->reset(key, store_->hash(key)); }

    /// From now on another configuration for every key, those that get an entry later included, while calls go on. Of
    /// each entry stays what `CircuitBreaker::reconfigure` leaves; `max_keys` stays, too. Passes through all entries, a
    /// few at a time: no call waits for more of them. Where there is no memory for the new window of a key, it goes on
    /// by the old rules until there is, when it is called.
    ///
    /// Errors: throws `std::invalid_argument` as the constructor, and then changes nothing.
    void reconfigure(const CircuitBreakerConfig& config) {
        throw_if_any(validate(KeyedCircuitBreakersConfig{.breaker = config}));
        store_->reconfigure(config);
    }

    /// Calls `callback` for every change of state of any key, which the breaker's name ends with (`shops/4711`): those
    /// of a key in their order, once, after it took effect, under no lock. It must not throw, and cannot be
    /// taken back: what it refers to must outlive the breakers. A key that is neither text nor a whole number is told
    /// as `?`.
    void on_state_change(std::function<void(const CircuitStateChanged&)> callback) {
        store_->on_state_change(std::move(callback));
    }

    std::string_view name() const noexcept { return store_->name(); }
    /// As it is now.
    KeyedCircuitBreakersConfig config() const { return store_->config(); }

  private:
    bool set_state(const Key& key, CircuitState to) { return store_->set_state(key, store_->hash(key), to); }

    template <class Token>
    static auto ready(Store& store, Key key, Token&& token) {
        return asio::async_initiate<Token, WaitQueue::Signature>(
            [](auto handler, const std::shared_ptr<Store>& which, const Key& whose) {
                which->async_ready(whose, which->hash(whose), std::move(handler));
            },
            token, store.shared_from_this(), std::move(key));
    }

    const std::shared_ptr<Store> store_; // which an alarm of `async_ready` may see after the breakers have gone
};

} // namespace velostream
