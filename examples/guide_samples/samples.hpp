// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "velostream/base/result.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/config/streaming_config.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/producer.hpp"
#include "velostream/kafka/record.hpp"
#include "velostream/resource_manager.hpp"
#include "velostream/testing/scripted_connections.hpp"

// The samples of the guide, a file for each of its chapters, in its order. What a sample takes as given is an argument.
namespace guide {

namespace asio = boost::asio;
using velostream::Result;
using Database = velostream::testing::ScriptedConnections; // stands for a database
using DeadLetterQueue = velostream::DeadLetterQueue<velostream::kafka::DeadLetterTopic>;

// Resource Management
velostream::StreamingConfig core_components();
Result<void> allocation_tracking(asio::any_io_executor executor, const velostream::StreamingConfig& resource_config);
asio::awaitable<Result<void>> database_connections(asio::any_io_executor executor, Database database);
velostream::KafkaPoolConfig kafka_connection_management();

// Circuit Breakers
velostream::StreamingConfig circuit_breaker_configuration();
asio::awaitable<void> programming_api(const velostream::CircuitBreakerConfig& circuit_config);

// Retry Logic
velostream::RetryConfig exponential_backoff();
velostream::RetryConfig fixed_interval();
velostream::RetryConfig linear_backoff();
asio::awaitable<Result<void>> retry_implementation(const velostream::RetryConfig& retry_config,
                                                   velostream::kafka::Producer& kafka_producer,
                                                   const velostream::kafka::Record& record);

// Dead Letter Queue
velostream::DeadLetterQueueConfig dead_letter_queue_configuration();
asio::awaitable<Result<void>> dead_letter_queue_usage(DeadLetterQueue& dead_letter_queue,
                                                      const velostream::kafka::Record& record);

// Monitoring & Alerts
void resource_metrics(velostream::ResourceManager<Database>& resource_manager);
void circuit_breaker_metrics(const velostream::CircuitBreaker<>& circuit_breaker);

// Production Configuration
velostream::StreamingConfig high_availability_setup();
velostream::StreamingConfig development_configuration();

// Troubleshooting
velostream::StreamingConfig debug_configuration();

} // namespace guide
