// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything of the core library. Adapters such as `velostream/kafka/producer.hpp` are included by themselves.
#include "velostream/circuit_breaker.hpp"
#include "velostream/config/presets.hpp"
#include "velostream/config/streaming_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/resource_manager.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/version.hpp"
