// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/chaos.hpp"

#include <string>
#include <utility>

#include "velostream/config/validate.hpp"

namespace velostream::testing {

namespace {

double checked_rate(double rate) {
    if (!(rate >= 0.0 && rate <= 1.0)) // not a number neither
        throw_if_any({{"injection_rate", std::to_string(rate), "must be 0 to 1"}});
    return rate;
}

// Uniform in [0, 1): the 53 bits that a double holds.
double fraction(std::uint64_t number) noexcept {
    return static_cast<double>(number >> 11) * 0x1p-53;
}

} // namespace

Chaos::Chaos(ChaosConfig config)
    : only_if_(std::move(config.only_if)),
      random_(config.seed),
      injection_rate_(checked_rate(config.injection_rate)),
      enabled_(config.enabled) {}

void Chaos::set_injection_rate(double rate) {
    injection_rate_.store(checked_rate(rate), std::memory_order_relaxed);
}

ChaosStats Chaos::get_stats() const noexcept {
    ChaosStats stats;
    stats.injected = injected_.load(std::memory_order_acquire); // before the tries, of which there are more
    stats.tries = tries_.load(std::memory_order_relaxed);
    return stats;
}

std::optional<std::uint64_t> Chaos::strike(const CallContext& call) {
    tries_.fetch_add(1, std::memory_order_relaxed);
    const auto number = random_.next(); // one for each try, whatever becomes of it
    if (!is_enabled() || fraction(number) >= injection_rate()) return std::nullopt;
    if (only_if_ && !only_if_(call)) return std::nullopt;
    injected_.fetch_add(1, std::memory_order_release); // release: whoever counts it has counted the try
    return BackoffRandom{number}.next();
}

} // namespace velostream::testing
