// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/config/defaulted.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/kafka/properties.hpp"

namespace velostream::kafka {

enum class Compression : std::uint8_t { none, gzip, snappy, lz4, zstd };

std::string_view to_string(Compression compression) noexcept;

/// How a producer connects, how long it tries, and how much it holds.
struct ProducerConfig {
    /// `host:port`, comma-separated. Must not be empty.
    std::string bootstrap_servers = {};

    /// The name that brokers see in their logs and quotas.
    std::string client_id = "velostream";

    /// A send has ended after this long, well or badly; a call's own deadline can only be earlier. Legal: ≥ 10 ms.
    /// Default 30 s. Shorter ones make records fail in outages that they would have survived, and below 4.8 s some end
    /// with `Errc::send_outcome_unknown` that were not written: the client may not have said so by then.
    Duration delivery_timeout = std::chrono::seconds{30};

    /// How long a record waits for others to share a request with. Legal: 0 to 900 s. Default 5 ms; 0 for the lowest
    /// latency of single sends, 20 ms for the highest rate.
    Duration linger = std::chrono::milliseconds{5};

    /// Default none. `lz4` costs little CPU and pays on any real network.
    Compression compression = Compression::none;

    /// Records handed over and not yet acknowledged; the next send waits. Legal: ≥ 1. Default 100 000.
    std::size_t max_in_flight = 100'000;

    /// Their bytes, by `Record::size_bytes`: how large the client's own queues become. A larger record goes alone.
    /// Legal: ≥ 1. Default: a sixteenth of the limit of the producer's account, but at least 1 MiB and at most 64 MiB;
    /// 64 MiB if it has none.
    Defaulted<Bytes> max_in_flight_bytes = Defaulted<Bytes>::by_default(64 * mebibyte);

    /// Anything else that the client library can be told. What would break this class is refused: callbacks, and
    /// `delivery.report.only.error`.
    Properties properties = {};
};

/// All problems of a config, as for the other configs. Properties are judged by the client library; a secret value is
/// never quoted, nor that of a name which the library does not have.
std::vector<ConfigProblem> validate(const ProducerConfig& config);

} // namespace velostream::kafka
