// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "velostream/config/circuit_breaker_config.hpp"

namespace velostream {

/// Outcomes in a breaker's window.
struct OutcomeCounts {
    std::uint64_t calls = 0;
    std::uint64_t failures = 0;
    std::uint64_t slow = 0;

    friend bool operator==(const OutcomeCounts&, const OutcomeCounts&) = default;
};

/// A threshold such as 0.1 as the fraction that was meant, 1/10, so that "10 of 100" reaches it exactly.
class ExactFraction {
  public:
    /// The simplest fraction whose double is `value`; 1/2^40 for what is less than that. Legal: 0 < value ≤ 1.
    explicit ExactFraction(double value) noexcept;

    /// part / whole ≥ this fraction, without rounding.
    bool is_reached(std::uint64_t part, std::uint64_t whole) const noexcept {
        __extension__ using Wide = unsigned __int128;
        return Wide{part} * denominator_ >= Wide{whole} * numerator_;
    }

    double value() const noexcept { return static_cast<double>(numerator_) / static_cast<double>(denominator_); }
    std::uint64_t numerator() const noexcept { return numerator_; }
    std::uint64_t denominator() const noexcept { return denominator_; }

  private:
    static constexpr std::uint64_t largest = std::uint64_t{1} << 40;

    std::uint64_t numerator_ = 1;
    std::uint64_t denominator_ = largest; // at most that
};

/// The rule that opened a circuit.
enum class BreakerRule : std::uint8_t { failure_count, failure_rate, slow_call_rate };

/// When a window of outcomes opens the circuit.
class BreakerRules {
  public:
    explicit BreakerRules(const CircuitBreakerConfig& config) noexcept;

    /// The first rule, in the order of `BreakerRule`, that says open.
    std::optional<BreakerRule> judge(const OutcomeCounts& counts) const noexcept;

    /// What the rule compares with: a number of failures, or a fraction; 0 if it is off.
    double threshold(BreakerRule rule) const noexcept;

    /// A fast success after so many outcomes cannot open the circuit: it makes no count or rate larger. Until then it
    /// may be the one that completes a minimum, and the rates are looked at for the first time.
    std::uint32_t last_minimum() const noexcept { return last_minimum_; }

  private:
    std::uint32_t count_minimum_;
    std::uint32_t rate_minimum_;
    std::uint32_t slow_minimum_;
    std::uint32_t last_minimum_;
    std::uint32_t failure_threshold_;
    std::optional<ExactFraction> failure_rate_;
    std::optional<ExactFraction> slow_call_rate_;
};

} // namespace velostream
