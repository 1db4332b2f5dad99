// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/error_type.hpp"
#include "velostream/core/dead_letter_envelope.hpp"
#include "velostream/core/record_view.hpp"

namespace velostream {

/// Whose error headers a record carries.
enum class HeaderFamily : std::uint8_t {
    none,        ///< nobody's: it is no dead letter
    own,         ///< `x-dlq-*`, with one of the next three before them
    connect,     ///< `__connect.errors.*`
    spring,      ///< `kafka_dlt-*`, and `kafka_original-*`, `retry_topic-*` … of its retry topics
    streams,     ///< `__streams.errors.*`
    share_group, ///< `__dlq.errors.*`
};

std::string_view to_string(HeaderFamily family) noexcept;

/// What the headers of a dead letter say, whoever wrote it.
///
/// Where it came from is what stands first, and why it failed is what stands last: a record that failed again has the
/// newer headers behind the older ones. So place and original timestamp are those of the first family that names a
/// topic; the error is that of the family whose headers stand last. Of ours, error type, attempts, last failure,
/// fingerprint, chain and what was cut count only if they stand behind all others; id, first failure, original
/// timestamp and redrives always. Of several headers of one name in a family, the first that is well-formed tells the
/// place and the last one the error.
///
/// A header that is not what it should be (a number of another width, a null or empty text, a time before 1970) is as
/// if it were not there. Texts are the bytes as they are, however many, and not necessarily UTF-8.
///
/// Lifetime: it looks into the record that it was read from.
struct DeadLetterFacts {
    HeaderFamily family = HeaderFamily::none; ///< whose the newest headers are

    std::string_view topic;      ///< where the record was read; empty if nobody says
    std::int32_t partition = -1; ///< -1 if nobody says
    std::int64_t offset = -1;    ///< -1 if nobody says
    /// The record's own, before it was a dead letter. Connect and Streams leave it where it was, others have a header.
    std::optional<WallTime> timestamp;
    TimestampType timestamp_type = TimestampType::not_available;

    std::string_view group;       ///< the consumer group
    std::string_view application; ///< Connect's connector, our program or query
    std::string_view instance;    ///< Connect's task
    std::string_view handler;     ///< the part of the program

    std::optional<ErrorType> error_type; ///< only ours say it
    std::string_view error_class;        ///< of the exception
    std::string_view cause_class;        ///< of what is behind it; only Spring says it
    NullableBytes message;               ///< null if there is none
    std::string_view stack_trace;
    std::string_view chain; ///< JSON, see the guide
    std::optional<FailedStage> stage;

    std::optional<WallTime> first_failure, last_failure;
    std::optional<std::uint32_t> attempts;
    std::uint32_t redrives = 0; ///< how often it was sent back to where it came from
    std::string_view id;        ///< empty if it has none
    /// Equal for failures of one cause. Ours if it was written, else a hash of error type, class (that of the cause if
    /// there is one, because Spring's outer class is always the same) and the first 4 096 bytes of the message, of
    /// which numbers and quoted parts count as the same.
    std::uint64_t fingerprint = 0;

    std::string_view left_out; ///< `part=bytes,…`: what was cut or left out of the letter
    bool has_record = true;    ///< false if key, value and headers of the record were left out

    /// The record's headers without those of any family, in their order.
    std::vector<HeaderView> original_headers;
};

DeadLetterFacts read_dead_letter(const RecordView& record);

/// A record as it was before it became a dead letter, to be sent again.
///
/// Lifetime: it looks into the dead letter that it was made from.
class RestoredRecord {
  public:
    RestoredRecord(RestoredRecord&&) noexcept = default; // the elements of a vector and a long text keep their place
    RestoredRecord& operator=(RestoredRecord&&) noexcept = default;

    /// For the original topic and partition, as far as they are known, with no timestamp: the time of the send, because
    /// the topic's retention counts from it.
    const RecordView& record() const noexcept { return record_; }

  private:
    friend std::optional<RestoredRecord> restored(const RecordView& dead_letter);
    RestoredRecord() = default;

    std::vector<HeaderView> headers_;
    std::string texts_;
    RecordView record_;
};

/// The record of a dead letter: key, value and original headers byte for byte, then `x-dlq-redrive-count`, one higher
/// than before, and what stays over rounds: `x-dlq-id`, `x-dlq-first-failure-ms`, `x-dlq-original-timestamp` and its
/// type. A dead letter of others without an id gets one from its place, so that its copies can be told. Nothing if the
/// letter was written without its record.
std::optional<RestoredRecord> restored(const RecordView& dead_letter);

} // namespace velostream
