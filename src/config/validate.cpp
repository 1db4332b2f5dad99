// SPDX-License-Identifier: Apache-2.0
#include "velostream/config/validate.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
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
constexpr std::size_t most_permits = 1'000'000'000;
constexpr std::size_t largest_latency_window = 4'000;
constexpr std::size_t most_of_a_time = 1'000'000'000;
constexpr std::size_t most_buckets = 1'000;
constexpr std::size_t most_keys = 10'000'000;
constexpr std::size_t most_clients = 1'000;
constexpr std::size_t most_connections = 1'000'000;
constexpr Bytes smallest_spool = Bytes{1} << 20;
constexpr Bytes smallest_segment = 4096;

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

void check(Checker& checker, const Rate& rate) {
    constexpr Duration longest = std::chrono::hours{24}, longest_refill = std::chrono::days{365};
    checker.between("permits", rate.permits, 1, most_permits, "1000000000");
    checker.require(rate.period > Duration::zero() && rate.period <= longest, "period", text(rate.period),
                    "must be > 0 and <= 24 h");
    checker.require(rate.permits > most_permits || rate.period <= Duration::zero() ||
                        std::cmp_less_equal(rate.permits, rate.period.count()),
                    "period", text(rate.period), "must be >= 1 ns for each of " + text(rate.permits) + " permits");
    if (!rate.burst) return;
    checker.between("burst", *rate.burst, 1, most_permits, "1000000000");
    if (rate.period <= Duration::zero()) return;
    const auto periods =
        std::min(static_cast<std::uint64_t>(longest_refill / rate.period), std::uint64_t{most_permits});
    checker.require(*rate.burst > most_permits || *rate.burst <= periods * rate.permits, "burst", text(*rate.burst),
                    "must come back within 365 days");
}

void check_room_of_spool(Checker& checker, const char* size_field, Bytes max_size, const char* free_field,
                         double min_free_disk) {
    checker.require(max_size >= smallest_spool, size_field, text(max_size), "must be >= 1048576");
    checker.require(min_free_disk >= 0 && min_free_disk < 1, free_field, text(min_free_disk), "must be >= 0 and < 1");
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
    checker.require(config.max_size <= most_connections, "max_size", text(std::size_t{config.max_size}),
                    "must be <= 1000000");
    checker.between("min_idle", config.effective_min_idle(), 0, config.max_size, "max_size");
    checker.positive("connection_timeout", config.connection_timeout);
    checker.positive("idle_timeout", config.idle_timeout);
    checker.positive("max_lifetime", config.max_lifetime);
    checker.require(config.max_lifetime_jitter >= 0 && config.max_lifetime_jitter <= 1, "max_lifetime_jitter",
                    text(config.max_lifetime_jitter), "must be >= 0 and <= 1");
    checker.positive("connect_timeout", config.connect_timeout);
    if (config.max_size >= 1)
        checker.between("connect_limit", config.effective_connect_limit(), 1, config.max_size, "max_size");
    checker.require(config.validation_window >= Duration::zero(), "validation_window", text(config.validation_window),
                    "must be >= 0");
    checker.positive("validation_timeout", config.validation_timeout);
    checker.positive("keepalive", config.keepalive);
    checker.positive("leak_threshold", config.leak_threshold);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const KafkaPoolConfig& config) {
    Checker checker;
    checker.between("producer_pool_size", config.producer_pool_size, 1, most_clients, "1000");
    checker.between("consumer_pool_size", config.consumer_pool_size, 1, most_clients, "1000");
    checker.positive("connection_backoff", config.connection_backoff);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const CircuitBreakerConfig& config) {
    Checker checker;
    const bool timed = config.sliding_window_duration.has_value();
    const auto window = timed ? most_of_a_time : config.sliding_window_size;
    const auto* window_name = timed ? "1000000000" : "sliding_window_size";
    checker.between("failure_threshold", config.failure_threshold, 1, window, window_name);
    checker.between("success_threshold", config.success_threshold, 1, most_probes, "65535");
    checker.positive("timeout", config.timeout);
    checker.between("sliding_window_size", config.sliding_window_size, 1, largest_window, "1000000");
    if (config.minimum_throughput)
        checker.between("minimum_throughput", *config.minimum_throughput, 1, window, window_name);
    checker.positive("slow_call_threshold", config.slow_call_threshold);
    checker.fraction("slow_call_rate_threshold", config.slow_call_rate_threshold);
    if (config.slow_call_minimum_throughput)
        checker.between("slow_call_minimum_throughput", *config.slow_call_minimum_throughput, 1, window, window_name);
    if (config.failure_rate_threshold) checker.fraction("failure_rate_threshold", *config.failure_rate_threshold);
    checker.positive("max_half_open_duration", config.max_half_open_duration);
    checker.require(config.timeout_multiplier >= 1 && std::isfinite(config.timeout_multiplier), "timeout_multiplier",
                    text(config.timeout_multiplier), "must be >= 1 and finite");
    if (config.max_timeout)
        checker.require(*config.max_timeout >= config.timeout, "max_timeout", text(*config.max_timeout),
                        "must be >= timeout (" + text(config.timeout) + ")");
    checker.require(config.timeout_jitter >= 0 && config.timeout_jitter <= 1, "timeout_jitter",
                    text(config.timeout_jitter), "must be >= 0 and <= 1");
    const auto buckets = config.sliding_window_buckets;
    checker.between("sliding_window_buckets", buckets, 1, most_buckets, "1000");
    if (timed && buckets <= most_buckets) {
        const Duration shortest = std::chrono::milliseconds{buckets};
        checker.require(
            *config.sliding_window_duration >= shortest && *config.sliding_window_duration > Duration::zero(),
            "sliding_window_duration", text(*config.sliding_window_duration),
            "must be >= 1 ms for each of the sliding_window_buckets (" + text(buckets) + ")");
    }
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const KeyedCircuitBreakersConfig& config) {
    Checker checker;
    checker.nested("breaker", validate(config.breaker));
    checker.between("max_keys", config.max_keys, 1, most_keys, "10000000");
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const RetryBudgetConfig& config) {
    Checker checker;
    checker.require(config.ratio >= 0 && config.ratio <= 1, "ratio", text(config.ratio), "must be 0 to 1");
    checker.require(config.reserve_per_second >= 0 && config.reserve_per_second <= 1'000'000, "reserve_per_second",
                    text(config.reserve_per_second), "must be 0 to 1000000");
    checker.require(config.window >= std::chrono::seconds{1} && config.window <= std::chrono::hours{1}, "window",
                    text(config.window), "must be 1 s to 3600 s");
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const RetryConfig& config) {
    Checker checker;
    std::visit(
        [&](const auto& backoff) { check(checker, backoff); },
        static_cast<const std::variant<ExponentialBackoff, FixedInterval, LinearBackoff>&>(config.backoff_strategy));
    checker.positive("attempt_timeout", config.attempt_timeout);
    if (config.budget) checker.nested("budget", validate(*config.budget));
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const HedgeConfig& config) {
    Checker checker;
    checker.require(config.delay >= Duration::zero(), "delay", text(config.delay), "must be >= 0");
    checker.require(config.max_hedges >= 1 && config.max_hedges <= 8, "max_hedges", text(config.max_hedges),
                    "must be 1 to 8");
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const DeadLetterQueueConfig& config) {
    Checker checker;
    checker.require(is_topic_name(config.topic), "topic", '"' + config.topic + '"',
                    "must be 1 to 249 of a-z A-Z 0-9 . _ - and not . or ..");
    checker.positive("retry_delay", config.retry_delay);
    checker.positive("retention_period", config.retention_period);
    checker.positive("delivery_timeout", config.delivery_timeout);
    check_room_of_spool(checker, "spool_max_size", config.spool_max_size, "spool_min_free_disk",
                        config.spool_min_free_disk);
    checker.nested("flood_guard", validate(config.flood_guard));
    const auto& families = config.header_families;
    checker.require(families.connect || families.spring || families.streams, "header_families", "none",
                    "must be at least one of connect, spring, streams");
    checker.between("max_record_size", config.max_record_size, 1'000, 1'000'000'000, "1000000000");
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const ReprocessConfig& config) {
    Checker checker;
    checker.positive("retry_delay", config.retry_delay);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const FloodGuardConfig& config) {
    Checker checker;
    checker.at_least_one("max_in_a_row", config.max_in_a_row);
    checker.fraction("max_share", config.max_share);
    checker.between("sample", config.sample, 2, 200, "200");
    checker.positive("window", config.window);
    checker.positive("hold", config.hold);
    if (config.max_bad_ratio) checker.fraction("max_bad_ratio", *config.max_bad_ratio);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const SpoolConfig& config) {
    Checker checker;
    checker.require(!config.directory.empty(), "directory", "\"\"", "must not be empty");
    check_room_of_spool(checker, "max_size", config.max_size, "min_free_disk", config.min_free_disk);
    checker.require(config.segment_size >= smallest_segment, "segment_size", text(config.segment_size),
                    "must be >= 4096");
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const BulkheadConfig& config) {
    Checker checker;
    checker.between("max_concurrent", config.max_concurrent, 1, most_permits, "1000000000");
    checker.positive("max_wait", config.max_wait);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const AdaptiveLimitConfig& config) {
    Checker checker;
    const bool has_bounds = config.min_limit >= 1 && config.min_limit <= config.max_limit;
    if (has_bounds)
        checker.require(
            config.initial_limit >= config.min_limit && config.initial_limit <= config.max_limit, "initial_limit",
            text(config.initial_limit),
            "must be min_limit (" + text(config.min_limit) + ") to max_limit (" + text(config.max_limit) + ")");
    checker.between("min_limit", config.min_limit, 1, config.max_limit, "max_limit");
    checker.between("max_limit", config.max_limit, 1, most_permits, "1000000000");
    checker.between("window", config.window, 10, largest_latency_window, "4000");
    checker.require(config.tolerance >= 1 && config.tolerance <= 3, "tolerance", text(config.tolerance),
                    "must be 1 to 3");
    checker.fraction("smoothing", config.smoothing);
    checker.require(config.drop_backoff > 0 && config.drop_backoff < 1, "drop_backoff", text(config.drop_backoff),
                    "must be > 0 and < 1");
    checker.require(config.tolerated_drop_rate >= 0 && config.tolerated_drop_rate < 1, "tolerated_drop_rate",
                    text(config.tolerated_drop_rate), "must be >= 0 and < 1");
    checker.between("remeasure_every", config.remeasure_every, 5, 1'000'000, "1000000");
    checker.between("max_waiting", config.max_waiting, 0, most_permits, "1000000000");
    checker.positive("max_wait", config.max_wait);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const Rate& rate) {
    Checker checker;
    check(checker, rate);
    return std::move(checker).problems();
}

std::vector<ConfigProblem> validate(const RateLimiterConfig& config) {
    Checker checker;
    check(checker, config.rate());
    checker.between("max_waiting", config.max_waiting, 0, most_permits, "1000000000");
    checker.positive("max_wait", config.max_wait);
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
