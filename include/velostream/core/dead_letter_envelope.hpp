// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/error.hpp"
#include "velostream/config/dead_letter_queue_config.hpp"
#include "velostream/core/record_view.hpp"

namespace velostream {

/// The step at which a record failed. Dead letters carry Kafka Connect's word for it.
enum class FailedStage : std::uint8_t {
    consume, ///< `KAFKA_CONSUME`: reading it
    decode,  ///< `VALUE_CONVERTER`: making sense of its bytes
    process, ///< `TRANSFORMATION`: working with it
    store,   ///< `TASK_PUT`: writing the outcome to a database or service
    send,    ///< `KAFKA_PRODUCE`: sending the outcome to a topic
};

std::string_view to_string(FailedStage stage) noexcept;

/// What one failure adds to what the record and the error say.
struct FailureDetails {
    FailedStage stage = FailedStage::process;
    /// When the first attempt failed. Unset: taken from the record if it has been a dead letter before; else, if only
    /// one attempt was counted, `last_failure`; else it is not said.
    std::optional<WallTime> first_failure = std::nullopt;
    /// When the last attempt failed. Unset: the time of dead-lettering.
    std::optional<WallTime> last_failure = std::nullopt;
};

/// Who dead-letters, when, and where the program was.
struct DeadLetterContext {
    std::string_view application = {}; ///< the program or query: `__connect.errors.connector.name`; left out if empty
    std::string_view instance = {};    ///< which copy of it: `__connect.errors.task.id`; left out if empty
    std::string_view group = {};       ///< the consumer group: `x-dlq-group`; left out if empty
    std::string_view handler = {};     ///< the part of the program: `__connect.errors.class.name`; left out if empty
    std::string_view stack_trace = {}; ///< one frame a line; left out if empty
    std::string_view serial = {};      ///< tells records apart whose offset nobody knows; part of their id
    WallTime now = {};
    FailureDetails failure = {};
};

/// A record on its way to a dead letter topic: the original bytes, and headers that say what happened to it.
///
/// Lifetime: it looks into the record, the error, the config and the texts of the context that it was made from; they
///           must outlive it, but for `serial`.
class DeadLetter {
  public:
    DeadLetter(DeadLetter&&) noexcept = default;
    DeadLetter& operator=(DeadLetter&&) noexcept = default;

    std::string_view topic() const noexcept { return topic_; }
    const NullableBytes& key() const noexcept { return key_; }
    const NullableBytes& value() const noexcept { return value_; }
    /// The original headers, unchanged and first, then ours.
    std::span<const HeaderView> headers() const noexcept { return headers_; }
    WallTime timestamp() const noexcept { return timestamp_; }
    /// The partition the record came from; -1 if nobody knows.
    std::int32_t source_partition() const noexcept { return source_partition_; }
    /// Its `x-dlq-id`.
    std::string_view id() const noexcept { return id_; }
    /// Key, value and headers together.
    std::size_t size_bytes() const noexcept { return size_bytes_; }
    /// What it takes at the brokers at most, in a batch by itself: the size that `max_record_size` bounds.
    std::size_t record_size() const noexcept;

    /// The letter as a record: of the topic it goes to, its timestamp, and the partition it came from.
    RecordView record() const noexcept;
    /// The letter that `record` was made from. Looks into it, and into the container of its headers.
    static DeadLetter restored(const RecordView& record);

    /// The last header of that name; null if there is none. Valid while the letter is neither moved nor destroyed.
    const HeaderView* header(std::string_view name) const noexcept;

  private:
    friend class DeadLetterWriter;
    DeadLetter() = default;

    std::string_view topic_;
    NullableBytes key_, value_;
    std::vector<HeaderView> headers_;
    std::string texts_; // on the heap; what headers_ looks into where it is nobody else's
    WallTime timestamp_;
    std::int32_t source_partition_ = -1;
    std::string_view id_;
    std::size_t size_bytes_ = 0;
};

/// Sizes that no dead letter exceeds, however long the texts are that it was given. Cut texts end in `...`.
namespace dead_letter_limits {
inline constexpr std::size_t stack_trace = 8192;
inline constexpr std::size_t message = 4096;
inline constexpr std::size_t chain = 4096;
inline constexpr std::size_t chain_links = 16;
inline constexpr std::size_t class_name = 512;
inline constexpr std::size_t id = 1024;
/// What the brokers' format adds to a record, at most, and to each of its headers.
inline constexpr std::size_t record_overhead = 88;
inline constexpr std::size_t header_overhead = 10;
} // namespace dead_letter_limits

/// The dead letter of a record that failed with `error`.
///
/// Key and value are the record's, null or empty as they were; its headers come first, in order, duplicates included.
/// Then follow the families that `header_families` names, and our `x-dlq-*`. Headers of these that the record already
/// had, because it was a dead letter before, are replaced, except that its `x-dlq-id`, `x-dlq-first-failure-ms`,
/// `x-dlq-original-timestamp` and `x-dlq-redrive-count` stay as they were. The timestamp is `context.now`, because a
/// topic's retention counts from it.
///
/// `include_original_record` = false leaves out key, value and original headers; `include_error_details` = false
/// everything that `error` and `context.failure` say; `include_stack_trace` = false the stack trace.
///
/// A letter above `max_record_size` loses, until it fits: the stack trace, the chain, the message (each as much of it
/// as must be), Streams' headers and then Spring's if there are others beside them, who dead-lettered, what the error
/// was. Its place, its id and what stays over rounds are never left out, nor is anything of the original; if that is
/// too much, the letter is too large, and its delivery fails with what the sink says about it. `x-dlq-truncated` lists
/// what is missing or cut, and how many bytes it had.
DeadLetter make_dead_letter(const RecordView& record, const Error& error, const DeadLetterQueueConfig& config,
                            const DeadLetterContext& context);

/// Whether a queue with this policy takes a record that failed with `error`. `retries_exhausted` counts as its last
/// error.
bool takes(DeadLetterPolicy policy, const Error& error) noexcept;

} // namespace velostream
