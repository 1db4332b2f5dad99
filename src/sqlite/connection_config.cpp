// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/connection_config.hpp"

namespace velostream::sqlite {

std::vector<ConfigProblem> validate(const ConnectionConfig& config) {
    constexpr std::size_t most_statements = 10'000;
    constexpr std::size_t most_threads = 64;
    std::vector<ConfigProblem> problems;
    const auto require = [&](bool is_legal, const char* field, std::string value, const char* legal) {
        if (!is_legal) problems.push_back({field, std::move(value), legal});
    };
    require(config.path.find('\0') == std::string::npos, "path", config.path.c_str(), "must not hold a NUL character");
    require(config.busy_timeout >= Duration::zero(), "busy_timeout",
            std::to_string(config.busy_timeout.count()) + " ns", "must be >= 0");
    require(config.statement_cache_size <= most_statements, "statement_cache_size",
            std::to_string(config.statement_cache_size), "must be 0 to 10000");
    require(config.threads >= 1 && config.threads <= most_threads, "threads", std::to_string(config.threads),
            "must be 1 to 64");
    require(config.max_pending_calls >= 1, "max_pending_calls", std::to_string(config.max_pending_calls),
            "must be >= 1");
    require(config.max_result_bytes >= 1, "max_result_bytes", std::to_string(config.max_result_bytes), "must be >= 1");
    return problems;
}

} // namespace velostream::sqlite
