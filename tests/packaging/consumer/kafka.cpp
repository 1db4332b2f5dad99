// SPDX-License-Identifier: Apache-2.0
// Uses velostream::kafka, behind which librdkafka stands, and prints the version for the test to compare.
#include <boost/asio/io_context.hpp>
#include <iostream>
#include <velostream/kafka/mock_cluster.hpp>
#include <velostream/kafka/producer.hpp>
#include <velostream/version.hpp>

int main() {
    const velostream::kafka::MockCluster cluster{1};
    boost::asio::io_context io;
    velostream::kafka::ProducerConfig config;
    config.bootstrap_servers = cluster.bootstrap_servers();
    const velostream::kafka::Producer producer{io.get_executor(), config};
    std::cout << velostream::version() << '\n';
}
