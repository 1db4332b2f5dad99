// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything that a program uses of the core library. Included by themselves are adapters, such as
// `velostream/kafka/producer.hpp`, and the test kit, `velostream/testing/`.
#include "velostream/async_reserve.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/config/presets.hpp"
#include "velostream/config/streaming_config.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/filtering_observer.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/query_scope.hpp"
#include "velostream/reclaimer.hpp"
#include "velostream/resource_manager.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/version.hpp"
