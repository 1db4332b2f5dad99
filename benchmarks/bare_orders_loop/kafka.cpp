// SPDX-License-Identifier: Apache-2.0
#include "kafka.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>

namespace velostream::bare {

namespace {

using ErrorText = std::array<char, 512>;
constexpr std::chrono::milliseconds admin_wait{30'000};

rd_kafka_conf_t* make_conf(const Settings& settings) {
    auto* conf = rd_kafka_conf_new();
    ErrorText error{};
    for (const auto& [name, value] : settings)
        if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error.data(), error.size()) != RD_KAFKA_CONF_OK)
            throw std::runtime_error{error.data()};
    return conf;
}

/// Waits for the answer to an admin request and throws if one of its topics has an error.
template <class Topics>
void wait_for_answer(rd_kafka_queue_t* queue, Topics topics_of_event) {
    const std::unique_ptr<rd_kafka_event_t, void (*)(rd_kafka_event_t*)> event{
        rd_kafka_queue_poll(queue, static_cast<int>(admin_wait.count())), rd_kafka_event_destroy};
    if (!event) throw std::runtime_error{"the brokers did not answer an admin request"};
    throw_if(rd_kafka_event_error(event.get()), "admin request");
    std::size_t count = 0;
    const auto* const* const topics = topics_of_event(event.get(), &count);
    for (std::size_t i = 0; i < count; ++i)
        throw_if(rd_kafka_topic_result_error(topics[i]), rd_kafka_topic_result_name(topics[i]));
}

/// True if every partition of the topic has a leader by now.
bool has_leaders(rd_kafka_t* client, const std::string& name, int partitions) {
    const auto topic = open_topic(client, name);
    const rd_kafka_metadata_t* answer = nullptr;
    throw_if(rd_kafka_metadata(client, 0, topic.get(), &answer, static_cast<int>(admin_wait.count())), name);
    const std::unique_ptr<const rd_kafka_metadata_t, void (*)(const rd_kafka_metadata_t*)> metadata{
        answer, rd_kafka_metadata_destroy};
    const std::span topics{metadata->topics, static_cast<std::size_t>(metadata->topic_cnt)};
    return std::ranges::any_of(topics, [partitions](const rd_kafka_metadata_topic& each) {
        const std::span all{each.partitions, static_cast<std::size_t>(each.partition_cnt)};
        return each.err == RD_KAFKA_RESP_ERR_NO_ERROR && each.partition_cnt == partitions &&
               std::ranges::none_of(all, [](const rd_kafka_metadata_partition& one) { return one.leader < 0; });
    });
}

} // namespace

void throw_if(rd_kafka_resp_err_t error, const std::string& what) {
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error{what + ": " + rd_kafka_err2str(error)};
}

Owned<rd_kafka_t> make_client(rd_kafka_type_t type, const Settings& settings,
                              void (*on_delivery)(rd_kafka_t*, const rd_kafka_message_t*, void*), void* opaque) {
    auto* conf = make_conf(settings);
    rd_kafka_conf_set_opaque(conf, opaque);
    if (on_delivery != nullptr) rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    ErrorText error{};
    auto* client = rd_kafka_new(type, conf, error.data(), error.size());
    if (client == nullptr) throw std::runtime_error{error.data()};
    return Owned<rd_kafka_t>{client};
}

Owned<rd_kafka_topic_t> open_topic(rd_kafka_t* client, const std::string& name) {
    auto* topic = rd_kafka_topic_new(client, name.c_str(), nullptr);
    if (topic == nullptr) throw_if(rd_kafka_last_error(), name);
    return Owned<rd_kafka_topic_t>{topic};
}

MockBrokers::MockBrokers()
    : host_(make_client(RD_KAFKA_PRODUCER, {{"log_level", "2"}})), // it has no brokers and needs none
      cluster_(rd_kafka_mock_cluster_new(host_.get(), 3)) {}

std::string MockBrokers::bootstrap_servers() const {
    return rd_kafka_mock_cluster_bootstraps(cluster_.get());
}

void MockBrokers::create_topic(const std::string& name, int partitions) {
    throw_if(rd_kafka_mock_topic_create(cluster_.get(), name.c_str(), partitions, 1), name);
}

void create_topics(rd_kafka_t* client, const std::vector<std::string>& names, int partitions) {
    std::vector<rd_kafka_NewTopic_t*> topics;
    ErrorText error{};
    for (const auto& name : names)
        topics.push_back(rd_kafka_NewTopic_new(name.c_str(), partitions, -1, error.data(), error.size()));
    const Owned<rd_kafka_queue_t> queue{rd_kafka_queue_new(client)};
    rd_kafka_CreateTopics(client, topics.data(), topics.size(), nullptr, queue.get());
    rd_kafka_NewTopic_destroy_array(topics.data(), topics.size());
    wait_for_answer(queue.get(), [](rd_kafka_event_t* event, std::size_t* count) {
        return rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), count);
    });
    // Who subscribes before the brokers know the topic loses up to three seconds.
    const auto end = std::chrono::steady_clock::now() + admin_wait;
    for (const auto& name : names)
        while (!has_leaders(client, name, partitions))
            if (std::chrono::steady_clock::now() > end) throw std::runtime_error{name + " has no leaders"};
}

void delete_topics(rd_kafka_t* client, const std::vector<std::string>& names) {
    std::vector<rd_kafka_DeleteTopic_t*> topics;
    for (const auto& name : names) topics.push_back(rd_kafka_DeleteTopic_new(name.c_str()));
    const Owned<rd_kafka_queue_t> queue{rd_kafka_queue_new(client)};
    rd_kafka_DeleteTopics(client, topics.data(), topics.size(), nullptr, queue.get());
    rd_kafka_DeleteTopic_destroy_array(topics.data(), topics.size());
    wait_for_answer(queue.get(), [](rd_kafka_event_t* event, std::size_t* count) {
        return rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), count);
    });
}

} // namespace velostream::bare
