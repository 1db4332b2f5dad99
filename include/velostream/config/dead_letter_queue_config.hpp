// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "velostream/base/units.hpp"
#include "velostream/config/flood_guard_config.hpp"

namespace velostream {

/// Which errors `send_to_dlq` takes. What it does not take it refuses with `Errc::record_not_to_blame`.
enum class DeadLetterPolicy : std::uint8_t {
    failed_attempts,    ///< every error of an attempt; not refusals, cancellation, authentication, authorization
    record_faults_only, ///< only errors that blame the record
    everything,         ///< whatever comes
};

/// Whose names a dead letter's headers have, beside our own `x-dlq-*`, which are always written. At least one of them:
/// they say where the record came from and what happened.
struct HeaderFamilies {
    bool connect = true;  ///< Kafka Connect's `__connect.errors.*`, all text; most tools show it
    bool spring = false;  ///< Spring's `kafka_dlt-*`, numbers in binary
    bool streams = false; ///< Kafka Streams' `__streams.errors.*`, all text

    friend bool operator==(const HeaderFamilies&, const HeaderFamilies&) = default;
};

/// Where records go that cannot be processed, and how hard their delivery is tried.
struct DeadLetterQueueConfig {
    /// The topic of the dead letters. Legal: a Kafka topic name. Default `failed-records`.
    std::string topic = "failed-records";

    /// Extra deliveries of one dead letter to the topic. Legal: ≥ 0. Default 3: at most four deliveries.
    std::uint32_t max_retries = 3;

    /// Wait between them. Legal: > 0. Default 60 s.
    Duration retry_delay = std::chrono::seconds{60};

    /// How long the topic keeps dead letters, when this library creates it. Legal: > 0. Default 7 days.
    Duration retention_period = std::chrono::hours{24 * 7};

    /// Whether key, value and headers of the record are kept. Default true.
    bool include_original_record = true;

    /// Whether the error's type, text and attempts are kept. Default true.
    bool include_error_details = true;

    /// Whether the stack at the point of dead-lettering is kept. Default true.
    bool include_stack_trace = true;

    /// Which errors are taken. Default: those of an attempt.
    DeadLetterPolicy accept = DeadLetterPolicy::failed_attempts;

    /// The deadline of one delivery. Legal: > 0. Default 30 s.
    Duration delivery_timeout = std::chrono::seconds{30};

    /// The folder of the spool, for this queue alone; empty for none. With one, a dead letter whose first delivery
    /// failed is safe on this machine's disk, and delivered from there every `retry_delay` until it has arrived.
    /// Default empty.
    std::filesystem::path spool_directory = {};

    /// Of all files of the spool together. Legal: 1 MiB and more. Default 1 GiB.
    Bytes spool_max_size = Bytes{1} << 30;

    /// The part of the spool's file system that stays free. Legal: 0 to below 1. Default 0.05.
    double spool_min_free_disk = 0.05;

    /// When dead letters become a flood, and are held instead. Default: on, for errors that do not blame the record.
    FloodGuardConfig flood_guard = {};

    /// Whose headers are written. Legal: at least one. Default Kafka Connect's.
    HeaderFamilies header_families = {};

    /// What a dead letter may take at the brokers. A larger one loses its stack trace, its chain, its message and then
    /// other headers of ours until it fits, never key, value or original headers. Legal: 1 000 to 1 000 000 000 bytes,
    /// as of librdkafka's `message.max.bytes`. Default its default, 1 000 000: change both together.
    Bytes max_record_size = 1'000'000;
};

} // namespace velostream
