// SPDX-License-Identifier: Apache-2.0
#include "velostream/config/validate.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <variant>

namespace velostream {

namespace {

constexpr double critical_pressure = 0.95;
constexpr std::size_t largest_window = 1'000'000;
constexpr std::size_t most_probes = 65'535;

std::string text(std::integral auto value) {
    return std::to_string(value);
}

std::string text(double value) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
    return {buffer, end};
}

// In the largest unit that shows the value exactly, as the user probably wrote it.
std::string text(Duration value) {
    struct Unit {
        Duration::rep nanoseconds;
        const char* name;
    };
    for (const auto [nanoseconds, name] : {Unit{1'000'000'000, " s"}, Unit{1'000'000, " ms"}, Unit{1'000, " us"}})
        if (value.count() != 0 && value.count() % nanoseconds == 0) return text(value.count() / nanoseconds) + name;
    return text(value.count()) + " ns";
}

/// Collects the problems of one struct; every check is one line that reads as the rule.
class Checker {
  public:
    void require(bool legal, std::string field, std::string value, std::string rule) {
        if (!legal) problems_.push_back({std::move(field), std::move(value), std::move(rule)});
    }
    void positive(const char* field, Duration value) {
        require(value > Duration::zero(), field, text(value), "must be > 0");
    }
    void positive(const char* field, const std::optional<Duration>& value) {
        if (value) positive(field, *value);
    }
    void at_least_one(const char* field, std::size_t value) { require(value >= 1, field, text(value), "must be >= 1"); }
    void fraction(const char* field, double value) {
        require(value > 0 && value <= 1, field, text(value), "must be > 0 and <= 1");
    }
    void between(const char* field, std::size_t value, std::size_t low, std::size_t high, const char* high_name) {
        auto rule = "must be " + text(low) + " to " + high_name;
        if (*high_name < '0' || *high_name > '9') rule += " (" + text(high) + ")";
        require(value >= low && value <= high, field, text(value), std::move(rule));
    }
    void nested(const char* prefix, std::vector<ConfigProblem> inner) {
        for (auto& problem : inner) {
            problem.field = std::string{prefix} + "." + problem.field;
            problems_.push_back(std::move(problem));
        }
    }
    std::vector<ConfigProblem> problems() && { return std::move(problems_); }

  private:
    std::vector<ConfigProblem> problems_;
};

void check(Checker& checker, const ExponentialBackoff& backoff) {
    checker.positive("backoff_strategy.initial_delay", backoff.initial_delay);
    checker.positive("backoff_strategy.max_delay", backoff.max_delay);
    checker.require(backoff.multiplier >= 1 && std::isfinite(backoff.multiplier), "backoff_strategy.multiplier",
                    text(backoff.multiplier), "must be >= 1 and finite");
}

void check(Checker& checker, const FixedInterval& backoff) {
    checker.positive("backoff_strategy.interval", backoff.interval);
}

void check(Checker& checker, const LinearBackoff& backoff) {
    checker.positive("backoff_strategy.initial_delay", backoff.initial_delay);
    checker.require(backoff.increment >= Duration::zero(), "backoff_strategy.increment", text(backoff.increment),
                    "must be >= 0");
    checker.positive("backoff_strategy.max_delay", backoff.max_delay);
}

bool is_topic_name(const std::string& name) {
    constexpr std::size_t longest = 249;
    const auto legal = [](unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    return !name.empty() && name.size() <= longest && name != "." && name != ".." && std::ranges::all_of(name, legal);
}

} // namespace

std::string ConfigProblem::message() const {
    return field + " = " + value + ": " + legal;
}

std::vector<ConfigProblem> validate(const ResourceLimitsConfig& config) {
    Checker checker;
    checker.at_least_one("max_concurrent_queries", config.max_concurrent_queries);
    checker.at_least_one("max_window_buffer_size", config.max_window_buffer_size);
    checker.at_least_one("max_aggregation_groups", config.max_aggregation_groups);
    checker.at_least_one("connection_pool_size", config.connection_pool_size);
    checker.require(config.memory_pressure_threshold > 0 && config.memory_pressure_threshold < critical_pressure,
                    "memory_pressure_threshold", text(config.memory_pressure_threshold), "must be > 0 and < 0.95");
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const ConnectionPoolConfig& config) {
    Checker checker;
    checker.at_least_one("max_size", config.max_size);
    checker.between("min_idle", config.effective_min_idle(), 0, config.max_size, "max_size");
    checker.positive("connection_timeout", config.connection_timeout);
    checker.positive("idle_timeout", config.idle_timeout);
    checker.positive("max_lifetime", config.max_lifetime);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const KafkaPoolConfig& config) {
    Checker checker;
    checker.at_least_one("producer_pool_size", config.producer_pool_size);
    checker.at_least_one("consumer_pool_size", config.consumer_pool_size);
    checker.positive("connection_backoff", config.connection_backoff);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const CircuitBreakerConfig& config) {
    Checker checker;
    const auto window = config.sliding_window_size;
    checker.between("failure_threshold", config.failure_threshold, 1, window, "sliding_window_size");
    checker.between("success_threshold", config.success_threshold, 1, most_probes, "65535");
    checker.positive("timeout", config.timeout);
    checker.between("sliding_window_size", window, 1, largest_window, "1000000");
    if (config.minimum_throughput)
        checker.between("minimum_throughput", *config.minimum_throughput, 1, window, "sliding_window_size");
    checker.positive("slow_call_threshold", config.slow_call_threshold);
    checker.fraction("slow_call_rate_threshold", config.slow_call_rate_threshold);
    if (config.failure_rate_threshold) checker.fraction("failure_rate_threshold", *config.failure_rate_threshold);
    checker.positive("max_half_open_duration", config.max_half_open_duration);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const RetryConfig& config) {
    Checker checker;
    std::visit(
        [&](const auto& backoff) { check(checker, backoff); },
        static_cast<const std::variant<ExponentialBackoff, FixedInterval, LinearBackoff>&>(config.backoff_strategy));
    checker.positive("attempt_timeout", config.attempt_timeout);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const DeadLetterQueueConfig& config) {
    Checker checker;
    checker.require(is_topic_name(config.topic), "topic", '"' + config.topic + '"',
                    "must be 1 to 249 of a-z A-Z 0-9 . _ - and not . or ..");
    checker.positive("retry_delay", config.retry_delay);
    checker.positive("retention_period", config.retention_period);
    checker.positive("delivery_timeout", config.delivery_timeout);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const StreamingConfig& config) {
    Checker checker;
    constexpr auto most_mebibytes = std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(mebibyte);
    if (config.max_memory_mb)
        checker.require(*config.max_memory_mb >= 1 && std::cmp_less_equal(*config.max_memory_mb, most_mebibytes),
                        "max_memory_mb", text(*config.max_memory_mb), "must be 1 to " + text(most_mebibytes));
    if (config.max_connections) checker.at_least_one("max_connections", *config.max_connections);
    if (config.resource_limits) checker.nested("resource_limits", validate(*config.resource_limits));
    if (config.circuit_breaker) checker.nested("circuit_breaker", validate(*config.circuit_breaker));
    if (config.retry_policy) checker.nested("retry_policy", validate(*config.retry_policy));
    if (config.dead_letter_queue) checker.nested("dead_letter_queue", validate(*config.dead_letter_queue));
    const auto pool = config.effective_connection_pool();
    if (config.connection_pool) checker.nested("connection_pool", validate(pool));
    if (config.max_connections && config.connection_pool && config.connection_pool->max_size.is_chosen())
        checker.require(pool.max_size <= *config.max_connections, "connection_pool.max_size",
                        text(std::size_t{pool.max_size}),
                        "must be <= max_connections (" + text(*config.max_connections) + ")");
    if (config.kafka_pool) checker.nested("kafka_pool", validate(*config.kafka_pool));
    return std::move(checker).problems();
}

void throw_if_any(const std::vector<ConfigProblem>& problems) {
    if (problems.empty()) return;
    std::string list = "invalid configuration:";
    for (const auto& problem : problems) list += "\n  " + problem.message();
    throw std::invalid_argument(list);
}

} // namespace velostream
