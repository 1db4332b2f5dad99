// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>
// librdkafka wants this order
#include <librdkafka/rdkafka_mock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

/// librdkafka's objects, owned. Nothing here is cleverer than the C interface.
namespace velostream::bare {

struct Destroy {
    void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
    void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
    void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
    void operator()(rd_kafka_mock_cluster_t* cluster) const { rd_kafka_mock_cluster_destroy(cluster); }
    void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};
template <class T>
using Owned = std::unique_ptr<T, Destroy>;

using Settings = std::vector<std::pair<std::string, std::string>>;

/// Throws `std::runtime_error` with librdkafka's words, as everything below.
Owned<rd_kafka_t> make_client(rd_kafka_type_t type, const Settings& settings,
                              void (*on_delivery)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr,
                              void* opaque = nullptr);

Owned<rd_kafka_topic_t> open_topic(rd_kafka_t* client, const std::string& name);

/// Three brokers inside this process.
class MockBrokers {
  public:
    MockBrokers();

    std::string bootstrap_servers() const;
    void create_topic(const std::string& name, int partitions);

  private:
    Owned<rd_kafka_t> host_;
    Owned<rd_kafka_mock_cluster_t> cluster_;
};

/// On a real cluster, of which `client` must be one. Returns when every partition can be used.
void create_topics(rd_kafka_t* client, const std::vector<std::string>& names, int partitions);
void delete_topics(rd_kafka_t* client, const std::vector<std::string>& names);

void throw_if(rd_kafka_resp_err_t error, const std::string& what);

} // namespace velostream::bare
