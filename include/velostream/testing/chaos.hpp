// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "velostream/async/policy.hpp"
#include "velostream/core/backoff_random.hpp"

namespace velostream::testing {

/// Which tries a chaos policy strikes.
struct ChaosConfig {
    /// The share of tries that is struck. Legal: 0 to 1. Default 0.001: one in a thousand.
    double injection_rate = 0.001;

    /// The same seed strikes the same tries, the first, the second and so on, of a run in which one comes after the
    /// other. Give each policy a seed of its own, such as `RunSeed::of(name)`: two of one seed strike the same tries.
    /// Default 1.
    std::uint64_t seed = 1;

    /// Whether it strikes at all; `Chaos::set_enabled` changes it while calls run. Default true.
    bool enabled = true;

    /// Asked about the tries that would be struck; those for which it says no go on unharmed. What it throws becomes
    /// the error of the try. Unset: all.
    std::function<bool(const CallContext&)> only_if = nullptr;
};

/// What a chaos policy did so far.
struct ChaosStats {
    std::uint64_t tries = 0;    ///< that came to it
    std::uint64_t injected = 0; ///< and were struck
};

/// What all chaos policies have in common: they lie in wait for some of the tries that come to them, and make these go
/// wrong, each in its own way. They are policies as all others: written innermost into a pipeline they stand for the
/// service, so that one can see what the policies around make of it. A call that is struck does not reach what lies
/// further in, other than by `ChaosLatency`.
///
/// ```cpp
/// ChaosLatency slow{{.injection_rate = 0.2, .seed = seed.of("slow")}, 2s, time};
/// ChaosFault refused{{.injection_rate = 0.05, .seed = seed.of("refused")}, asio::error::connection_refused};
/// Pipeline guarded{retry, breaker, slow, refused};
/// ```
///
/// Errors:   the constructor throws `std::invalid_argument` if the rate is none, as `set_injection_rate` does.
/// Threads:  safe, as far as the functions are that are given to it. Concurrent tries are struck as if they had come
///           one after the other, in any order: of as many tries the same number.
/// Lifetime: must outlive the calls that it guards.
class Chaos {
  public:
    Chaos(const Chaos&) = delete;
    Chaos& operator=(const Chaos&) = delete;

    bool is_enabled() const noexcept { return enabled_.load(std::memory_order_relaxed); }
    /// For the tries that come from now on. Those that come while it is off count as tries all the same: which of the
    /// later ones are struck does not depend on it.
    void set_enabled(bool enabled) noexcept { enabled_.store(enabled, std::memory_order_relaxed); }

    double injection_rate() const noexcept { return injection_rate_.load(std::memory_order_relaxed); }
    /// For the tries that come from now on. What a lower rate strikes, a higher one would have struck as well.
    void set_injection_rate(double rate);

    ChaosStats get_stats() const noexcept;

  protected:
    explicit Chaos(ChaosConfig config);
    ~Chaos() = default;

    /// Whether the try is struck; then another random number, for how.
    std::optional<std::uint64_t> strike(const CallContext& call);

    /// The part in one call of a policy that does nothing after it.
    struct Guard {
        static void after_success(CallContext&) noexcept {}
        static Verdict after_failure(CallContext&, const Error&) noexcept { return Verdict::pass_on(); }
    };

  private:
    const std::function<bool(const CallContext&)> only_if_;
    BackoffRandom random_;
    // relaxed but where a count says otherwise: each is a word of its own.
    std::atomic<double> injection_rate_;
    std::atomic<bool> enabled_;
    std::atomic<std::uint64_t> tries_{0}, injected_{0};
};

} // namespace velostream::testing
