// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/retry_budget.hpp"

#include <chrono>
#include <cmath>
#include <memory>
#include <utility>

#include "velostream/config/validate.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/core/breaker_rules.hpp"

namespace velostream {

namespace {

constexpr std::uint64_t millionths = 1'000'000;

std::uint64_t tenth_of(Duration window) noexcept {
    return static_cast<std::uint64_t>(window.count()) / RetryBudgetWindow<>::buckets;
}

// What the window's seconds add, in millionths of a retry.
std::uint64_t reserve_of(const RetryBudgetConfig& config) noexcept {
    const Duration window{static_cast<Duration::rep>(tenth_of(config.window) * RetryBudgetWindow<>::buckets)};
    const auto seconds = std::chrono::duration<long double>{window}.count();
    return static_cast<std::uint64_t>(
        std::llround(static_cast<long double>(config.reserve_per_second) * seconds * millionths));
}

} // namespace

RetryBudget::Rule::Rule(const RetryBudgetConfig& config) noexcept : scale(millionths), per_call(0), reserve(0) {
    constexpr double least = 1e-12; // less than one retry for all calls that a window can count
    if (config.ratio >= least) {
        const ExactFraction ratio{config.ratio};
        per_call = Wide{ratio.numerator()} * millionths;
        scale = Wide{ratio.denominator()} * millionths;
    }
    reserve = Wide{reserve_of(config)} * (scale / millionths);
}

// At most 2^28 retries, 2^35 calls, and 2^60 for each: it does not overflow.
bool RetryBudget::Rule::operator()(std::uint64_t retries, std::uint64_t calls) const noexcept {
    return retries * scale <= calls * per_call + reserve;
}

std::uint64_t RetryBudget::Rule::allowed(std::uint64_t calls) const noexcept {
    return static_cast<std::uint64_t>((calls * per_call + reserve) / scale);
}

RetryBudget::State::State(const RetryBudgetConfig& settings)
    : config(validated(settings)), allows(config), bucket_length(tenth_of(config.window)) {}

RetryBudget::RetryBudget(const RetryBudgetConfig& config, MemoryAccount account)
    : state_(std::allocate_shared<State>(AccountedAllocator<State>{std::move(account)}, config)) {}

std::optional<RetryBudget::Withdrawal> RetryBudget::try_withdraw(TimePoint now) const noexcept {
    auto& state = *state_;
    const auto bucket = state.window.try_withdraw(state.bucket_at(now), state.allows);
    auto& counted = bucket ? state.withdrawn : state.refused;
    counted.fetch_add(1, std::memory_order_relaxed);
    if (!bucket) return std::nullopt;
    return Withdrawal{state, *bucket};
}

void RetryBudget::Withdrawal::refund() const noexcept {
    state_->window.give_back(bucket_);
    state_->refunded.fetch_add(1, std::memory_order_relaxed);
}

RetryBudgetStats RetryBudget::get_stats(TimePoint now) const noexcept {
    const auto bucket = state_->bucket_at(now);
    const auto calls = state_->window.calls(bucket);
    return {.calls = calls,
            .retries = state_->window.retries(bucket),
            .allowed = state_->allows.allowed(calls),
            .withdrawn = state_->withdrawn.load(std::memory_order_relaxed),
            .refunded = state_->refunded.load(std::memory_order_relaxed),
            .refused = state_->refused.load(std::memory_order_relaxed)};
}

} // namespace velostream
