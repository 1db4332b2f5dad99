// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "program/options.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/kafka/mock_cluster.hpp"

namespace orders {

namespace asio = boost::asio;

/// The Kafka that the job runs on: one that the options name, or one inside this process.
class Cluster {
  public:
    explicit Cluster(const Options& options);

    const std::string& bootstrap_servers() const { return bootstrap_servers_; }
    bool is_embedded() const { return embedded_.has_value(); }
    velostream::kafka::MockCluster& embedded() { return *embedded_; }

    const std::string& orders() const { return orders_; }
    const std::string& totals() const { return totals_; }
    const std::string& dead_letters() const { return dead_letters_; }
    const std::string& group() const { return group_; }

    /// Error: `topic_already_exists` on a real cluster where an earlier run with this prefix left them.
    asio::awaitable<velostream::Result<void>> create_topics();
    /// Only of a real cluster; an embedded one goes with the process.
    asio::awaitable<velostream::Result<void>> delete_topics(velostream::Duration timeout);

  private:
    std::vector<std::string> names() const { return {orders_, totals_, dead_letters_}; }

    std::optional<velostream::kafka::MockCluster> embedded_;
    std::string bootstrap_servers_;
    std::string orders_, totals_, dead_letters_, group_;
    int partitions_;
};

} // namespace orders
