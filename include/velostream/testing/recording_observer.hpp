// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/observer.hpp"

namespace velostream::testing {

/// Remembers everything that it is told, in the order in which it was told.
///
/// ```cpp
/// auto observer = std::make_shared<RecordingObserver>();
/// CircuitBreaker breaker{"orders", config, observer, time};
/// …
/// EXPECT_EQ(observer->names(), (std::vector<std::string>{"circuit_state_changed"}));
/// EXPECT_EQ(observer->transitions().front().to, CircuitState::open);
/// ```
///
/// Threads: safe.
class RecordingObserver : public Observer {
  public:
    struct Transition {
        std::string breaker;
        CircuitState from, to;
        std::string why;
        TimePoint at;
    };
    struct Refusal {
        std::string limiter, why;
        Error error;
    };
    struct LimitChange {
        std::string limiter;
        std::size_t from, to;
        std::string why;
    };
    struct Retry {
        std::uint32_t failed_attempts;
        Duration delay;
        Error error;
    };
    struct FailedConnect {
        std::string pool;
        Error error;
    };
    struct Leak {
        std::string pool;
        Duration lent_for;
        std::source_location borrowed_at;
    };
    struct GivenUp {
        std::uint32_t attempts;
        std::string why;
        Error error;
        std::optional<Duration> elapsed;
        bool elapsed_longer = false;
    };

    /// The names of all events, without `on_`, e.g. `memory_refused`.
    std::vector<std::string> names() const { return copy(names_); }
    std::size_t count(std::string_view name) const;

    std::vector<Transition> transitions() const { return copy(transitions_); }
    std::vector<Refusal> refusals() const { return copy(refusals_); }
    std::vector<LimitChange> limit_changes() const { return copy(limit_changes_); }
    std::vector<Retry> retries() const { return copy(retries_); }
    std::vector<GivenUp> given_up() const { return copy(given_up_); }
    std::vector<FailedConnect> failed_connects() const { return copy(failed_connects_); }
    std::vector<Leak> leaks() const { return copy(leaks_); }

    void on_memory_allocated(const MemoryAllocated&) noexcept override { note("memory_allocated"); }
    void on_memory_released(const MemoryReleased&) noexcept override { note("memory_released"); }
    void on_memory_refused(const MemoryRefused&) noexcept override { note("memory_refused"); }
    void on_memory_stalled(const MemoryStalled&) noexcept override { note("memory_stalled"); }
    void on_pressure_changed(const PressureChanged&) noexcept override { note("pressure_changed"); }
    void on_circuit_state_changed(const CircuitStateChanged& event) noexcept override;
    void on_call_rejected(const CallRejected&) noexcept override { note("call_rejected"); }
    void on_call_refused(const CallRefused& event) noexcept override;
    void on_concurrency_limit_changed(const ConcurrencyLimitChanged& event) noexcept override;
    void on_retry_scheduled(const RetryScheduled& event) noexcept override;
    void on_retry_given_up(const RetryGivenUp& event) noexcept override;
    void on_connect_failed(const ConnectFailed& event) noexcept override;
    void on_connection_leaked(const ConnectionLeaked& event) noexcept override;
    void on_dead_letter_stored(const DeadLetterStored&) noexcept override { note("dead_letter_stored"); }
    void on_dead_letter_delayed(const DeadLetterDelayed&) noexcept override { note("dead_letter_delayed"); }
    void on_dead_letter_spooled(const DeadLetterSpooled&) noexcept override { note("dead_letter_spooled"); }
    void on_dead_letter_flood(const DeadLetterFlood&) noexcept override { note("dead_letter_flood"); }
    void on_dead_letters_stuck(const DeadLettersStuck&) noexcept override { note("dead_letters_stuck"); }
    void on_dead_letter_topic_differs(const DeadLetterTopicDiffers&) noexcept override {
        note("dead_letter_topic_differs");
    }

  private:
    void note(std::string_view name) noexcept;
    template <class Events>
    Events copy(const Events& events) const {
        const std::lock_guard lock{mutex_};
        return events;
    }

    mutable std::mutex mutex_;
    std::vector<std::string> names_;
    std::vector<Transition> transitions_;
    std::vector<Refusal> refusals_;
    std::vector<LimitChange> limit_changes_;
    std::vector<Retry> retries_;
    std::vector<GivenUp> given_up_;
    std::vector<FailedConnect> failed_connects_;
    std::vector<Leak> leaks_;
};

} // namespace velostream::testing
