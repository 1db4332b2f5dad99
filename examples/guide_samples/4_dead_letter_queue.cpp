// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>

#include "samples.hpp"
#include "velostream/dead_letter_queue.hpp"

namespace guide {

using namespace velostream;
using namespace std::chrono_literals;

// Configuration

DeadLetterQueueConfig dead_letter_queue_configuration() {
    const DeadLetterQueueConfig dlq_config{
        .topic = "failed-records",
        .max_retries = 3,
        .retry_delay = 60s,
        .retention_period = std::chrono::days{7},

        // Serialization for failed records
        .include_original_record = true,
        .include_error_details = true,
        .include_stack_trace = true,
    };
    return dlq_config;
}

// Usage

namespace {

asio::awaitable<Result<std::size_t>> process_record(const kafka::Record& record) {
    if (!record.value) {
        const std::invalid_argument no_value{"no value"};
        co_return Error::from_exception(std::make_exception_ptr(no_value));
    }
    co_return record.value->size();
}

void handle_success(std::size_t result) {
    std::cout << "processed " << result << " bytes\n";
}

} // namespace

asio::awaitable<Result<void>> dead_letter_queue_usage(DeadLetterQueue& dead_letter_queue, const kafka::Record& record) {
    // Route failed records to DLQ
    const auto result = co_await process_record(record);
    if (result) {
        handle_success(*result);
    } else {
        const auto error = result.error();
        const auto stored = co_await dead_letter_queue.send_to_dlq(record, error);
        if (!stored) co_return stored.error();
    }
    co_return Result<void>{};
}

} // namespace guide
