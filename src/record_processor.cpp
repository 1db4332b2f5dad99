// SPDX-License-Identifier: Apache-2.0
#include "velostream/record_processor.hpp"

#include <chrono>
#include <stdexcept>

namespace velostream::detail {

std::optional<std::string> lane_of(const RecordView& record, Reprocess mode) {
    if (mode == Reprocess::off) return std::nullopt;
    if (mode == Reprocess::parked && !record.key) return std::nullopt;                // no order is promised to it
    auto lane = std::to_string(record.partition).append(1, ' ').append(record.topic); // no topic has a space
    if (mode == Reprocess::parked) lane.append(1, ' ').append(*record.key);
    return lane;
}

Reprocess waiting_here(Reprocess mode) {
    if (mode == Reprocess::topic)
        throw std::invalid_argument{"mode = topic: RecordProcessor has no topics; use kafka::RetryTopics"};
    return mode;
}

Error last_error(const Error& error) {
    return error == Errc::retries_exhausted && error.inner() ? error.inner()->with_attempts(error.attempts()) : error;
}

FailureDetails failure_of(const Error& error) {
    using std::chrono::milliseconds;
    FailureDetails failure;
    if (!error.elapsed_longer()) return failure; // one try: when it failed is the time of dead-lettering
    failure.last_failure = std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
    failure.first_failure = *failure.last_failure - std::chrono::floor<milliseconds>(*error.elapsed());
    return failure;
}

} // namespace velostream::detail
