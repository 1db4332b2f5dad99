// SPDX-License-Identifier: Apache-2.0
#include "program/cluster.hpp"

#include <chrono>
#include <utility>
#include <vector>

#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"

namespace orders {

using velostream::Result;
namespace kafka = velostream::kafka;

namespace {

constexpr int embedded_brokers = 3;
constexpr std::chrono::seconds patience{10};

// What the client does not retry by itself, so that the job's own retries are needed.
std::vector<kafka::KafkaErrc> injected_failures() {
    constexpr kafka::KafkaErrc network_exception{13};
    constexpr kafka::KafkaErrc throttling_quota_exceeded{89};
    return {network_exception, throttling_quota_exceeded};
}

} // namespace

Cluster::Cluster(const Options& options) : partitions_(options.partitions) {
    const auto prefix = options.brokers ? options.prefix + "-" : std::string{};
    orders_ = prefix + "orders";
    totals_ = prefix + "customer-totals";
    dead_letters_ = prefix + "dead-letters";
    group_ = prefix + "orders-pipeline";
    if (options.brokers) {
        bootstrap_servers_ = *options.brokers;
        return;
    }
    embedded_.emplace(embedded_brokers);
    bootstrap_servers_ = embedded_->bootstrap_servers();
    if (options.fail_rate > 0) embedded_->fail_produce_requests(options.fail_rate, options.seed, injected_failures());
}

asio::awaitable<Result<void>> Cluster::create_topics() {
    if (!embedded_) {
        const kafka::Admin admin{{.bootstrap_servers = bootstrap_servers_}};
        std::vector<kafka::NewTopic> topics;
        topics.emplace_back(orders_, partitions_);
        topics.emplace_back(totals_, partitions_);
        topics.push_back(kafka::new_dead_letter_topic({.topic = dead_letters_}, partitions_));
        co_return co_await admin.create_topics(std::move(topics), patience);
    }
    for (const auto& name : names()) {
        const auto created = embedded_->create_topic(name, partitions_);
        if (!created) co_return created;
    }
    co_return Result<void>{};
}

asio::awaitable<Result<void>> Cluster::delete_topics(velostream::Duration timeout) {
    const kafka::Admin admin{{.bootstrap_servers = bootstrap_servers_}};
    auto topics = names();
    co_return co_await admin.delete_topics(std::move(topics), timeout);
}

} // namespace orders
