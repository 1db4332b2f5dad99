// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"
#include "velostream/core/record_view.hpp"

namespace velostream {

/// Where a record was read before it failed for the first time, and by whom.
struct FirstPlace {
    std::string_view topic;
    std::int32_t partition = -1; ///< -1 if nobody knows
    std::int64_t offset = -1;    ///< -1 if nobody knows
    std::optional<WallTime> timestamp;
    TimestampType timestamp_type = TimestampType::not_available;
    std::string_view group; ///< the consumer group; empty if nobody says
};

/// What is known of a record that may fail again.
///
/// Lifetime: it looks into the record that it was made from.
struct RetryNote {
    std::uint32_t attempt = 1;   ///< which one comes next, from 1
    std::optional<WallTime> due; ///< when, at the earliest
    FirstPlace first;
};

/// More attempts than this were not counted by anybody: the header is something else.
inline constexpr std::uint32_t most_attempts = 1U << 24;

/// Of a record that is where it was first, whatever headers it has.
RetryNote first_attempt(const RecordView& record);

/// Of a record of a retry topic, in Spring's headers: `kafka_original-*` say where it was first, `retry_topic-attempts`
/// which attempt comes next, and `retry_topic-backoff-timestamp` when. Of several of one name the first that is
/// well-formed tells the place, and the last one attempt and time.
///
/// What is missing or not what it should be (another width, no or too many attempts, a time before 1970) is as if
/// nobody had said it: the first attempt, due at once, of a record that was here first. Never throws.
RetryNote read_retry_headers(const RecordView& record);

/// How long a record with this note waits. One that would wait for longer than `longest` does not: its time is not one
/// that a program has set, for by then its topic would have deleted it.
Duration wait_until_due(const RetryNote& note, WallTime now, Duration longest) noexcept;

/// The record's headers without those of retry topics, in their order.
std::vector<HeaderView> headers_without_retries(const HeadersView& headers);

/// The record as it was read first. Looks into `record`, `note` and `headers`, which `headers_without_retries` made.
RecordView first_record(const RecordView& record, const RetryNote& note, const std::vector<HeaderView>& headers);

/// What one more attempt adds to what the record and the error say.
struct RetryContext {
    std::string_view topic = {};       ///< the retry topic
    WallTime now = {};                 ///< when the attempt failed
    WallTime due = {};                 ///< when the next one is due
    std::string_view stack_trace = {}; ///< one frame a line; left out if empty
    bool with_error = true;            ///< false: nothing about the error
    Bytes max_record_size = 1'000'000; ///< above it the stack trace is left out, then the message
};

/// A record on its way to a retry topic: the original bytes, and headers that say what happened and what comes next.
///
/// Lifetime: it looks into the record, the note and the texts of the context that it was made from.
class RetryRecord {
  public:
    RetryRecord(RetryRecord&&) noexcept = default; // the elements of vectors keep their place
    RetryRecord& operator=(RetryRecord&&) noexcept = default;

    /// For the retry topic; partition -1: by the key.
    const RecordView& record() const noexcept { return record_; }
    /// What it takes at the brokers at most.
    std::size_t record_size() const noexcept { return size_; }

  private:
    friend class RetryRecordWriter;
    RetryRecord() = default;

    std::vector<HeaderView> headers_;
    std::vector<std::string> texts_; // never grows beyond what was reserved
    RecordView record_;
    std::size_t size_ = 0;
};

/// The record that failed with `error`, for its retry topic: key and value, its own headers in their order, then those
/// that Spring's retry topics have. Place, original timestamp and group are those of `note`: what was said first stays;
/// the exception is the last one; attempts are one more. `x-dlq-first-failure-ms` is added once, for a later dead
/// letter. The timestamp is `context.now`, because a topic's retention counts from it.
RetryRecord make_retry_record(const RecordView& record, const RetryNote& note, const Error& error,
                              const RetryContext& context);

} // namespace velostream
