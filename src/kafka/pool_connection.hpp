// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>

#include "velostream/base/result.hpp"
#include "velostream/config/kafka_pool_config.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/properties.hpp"

namespace velostream::kafka {

/// `reconnect.backoff.ms` and, ten times as long, `reconnect.backoff.max.ms`, where the user has set neither.
void add_backoff(Properties& properties, Duration backoff);

/// `Admin::reach`, up to 1 + `connection_retry_attempts` times, `connection_backoff` apart.
asio::awaitable<Result<void>> reach_cluster(AdminConfig config, KafkaPoolConfig pool, Duration timeout);

} // namespace velostream::kafka
