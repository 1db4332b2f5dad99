// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>
// librdkafka asks for this order
#include <librdkafka/rdkafka_mock.h>

#include <memory>
#include <string>

namespace velostream::kafka {

/// Brokers that fail in ways of which `MockCluster` has none.
class FailingBrokers {
  public:
    explicit FailingBrokers(int brokers)
        : host_(silent_client(), rd_kafka_destroy),
          cluster_(rd_kafka_mock_cluster_new(host_.get(), brokers), rd_kafka_mock_cluster_destroy) {}

    std::string bootstrap_servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_.get()); }
    rd_kafka_mock_cluster_t* cluster() const { return cluster_.get(); }

  private:
    static rd_kafka_t* silent_client() {
        auto* const conf = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(conf, nullptr);
        return rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    }

    std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> host_;
    std::unique_ptr<rd_kafka_mock_cluster_t, void (*)(rd_kafka_mock_cluster_t*)> cluster_;
};

} // namespace velostream::kafka
