// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/exactly_once_config.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include "client_conf.hpp"

namespace velostream::kafka {

namespace {

void check(std::vector<ConfigProblem>& problems, bool is_legal, std::string field, std::string value,
           std::string legal) {
    if (!is_legal) problems.push_back({std::move(field), std::move(value), std::move(legal)});
}

void add(std::vector<ConfigProblem>& problems, const char* prefix, std::vector<ConfigProblem> inner) {
    for (auto& problem : inner) {
        problem.field = std::string{prefix} + "." + problem.field;
        problems.push_back(std::move(problem));
    }
}

// What would break the promise, though the client library allows it.
void check_reading(std::vector<ConfigProblem>& problems, const Properties& properties) {
    struct Fixed {
        const char* name;
        std::array<std::string_view, 4> legal;
        const char* words;
    };
    const std::array<Fixed, 2> fixed{
        Fixed{"isolation.level", {"read_committed"}, "must be read_committed"},
        Fixed{"partition.assignment.strategy",
              {"range", "roundrobin", "range,roundrobin", "roundrobin,range"},
              "must be range or roundrobin: partitions are given back all at once"},
    };
    for (const auto& [name, legal, words] : fixed) {
        const auto given = properties.find(name);
        if (given == properties.end()) continue;
        check(problems, std::ranges::find(legal, given->second) != legal.end(),
              std::string{"consumer.properties."} + name, given->second, words);
    }
}

} // namespace

std::vector<ConfigProblem> validate(const ExactlyOnceConfig& config) {
    using std::chrono::milliseconds;
    std::vector<ConfigProblem> problems;
    check(problems, !config.transactional_id.empty(), "transactional_id", "\"\"", "must not be empty");
    add(problems, "consumer", validate(config.consumer));
    check_reading(problems, config.consumer.properties);
    auto producer = config.producer;
    if (producer.bootstrap_servers.empty()) producer.bootstrap_servers = config.consumer.bootstrap_servers;
    if (!producer.bootstrap_servers.empty()) add(problems, "producer", validate(producer));
    check(problems, config.producer.delivery_timeout <= config.transaction_timeout, "producer.delivery_timeout",
          in_milliseconds(config.producer.delivery_timeout),
          "must be ≤ transaction_timeout = " + in_milliseconds(config.transaction_timeout));
    check(problems, config.commit_interval >= milliseconds{1} && config.commit_interval < config.transaction_timeout,
          "commit_interval", in_milliseconds(config.commit_interval),
          "must be ≥ 1 ms and < transaction_timeout = " + in_milliseconds(config.transaction_timeout));
    check(problems, config.max_records >= 1, "max_records", std::to_string(config.max_records), "must be ≥ 1");
    check(problems, config.max_bytes >= 1, "max_bytes", std::to_string(config.max_bytes), "must be ≥ 1");
    check(problems, config.transaction_timeout >= std::chrono::seconds{1}, "transaction_timeout",
          in_milliseconds(config.transaction_timeout), "must be ≥ 1000 ms");
    return problems;
}

} // namespace velostream::kafka
