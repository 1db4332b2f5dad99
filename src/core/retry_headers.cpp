// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/retry_headers.hpp"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "core/dead_letter_field.hpp"
#include "core/dead_letter_names.hpp"
#include "core/error_description.hpp"
#include "velostream/core/dead_letter_envelope.hpp"

namespace velostream {

namespace {

constexpr std::string_view group_name = "kafka_dlt-original-consumer-group"; // Spring's own word in retry topics, too
constexpr std::string_view letter_topic_name = "kafka_dlt-original-topic";
constexpr std::string_view first_failure_name = "x-dlq-first-failure-ms";

bool has(const HeadersView& headers, std::string_view name) {
    for (const auto& header : headers)
        if (header.name == name) return true;
    return false;
}

/// Tells which headers retry topics have added.
class RetryHeaderNames {
  public:
    // Beside the other headers of a dead letter of Spring's the group is one of those.
    explicit RetryHeaderNames(const HeadersView& headers) : has_letter_(has(headers, letter_topic_name)) {}

    bool writes_group() const noexcept { return !has_letter_; }
    bool contain(std::string_view name) const noexcept {
        const auto begins = [name](std::string_view prefix) { return name.starts_with(prefix); };
        return std::ranges::any_of(detail::spring_retry_prefixes, begins) || (name == group_name && !has_letter_);
    }

  private:
    bool has_letter_;
};

// Spring counted in one byte once.
std::uint32_t attempts_of(std::string_view value) noexcept {
    std::int64_t attempts = 0;
    if (value.size() == 1) attempts = static_cast<unsigned char>(value.front());
    if (value.size() == sizeof(std::int32_t)) attempts = *detail::big_endian<std::int32_t>(value);
    return attempts < 1 || attempts > most_attempts ? 0 : static_cast<std::uint32_t>(attempts);
}

template <class Number>
void take_number(Number& field, std::string_view value) noexcept {
    const auto number = detail::big_endian<Number>(value);
    if (field < 0 && number && *number >= 0) field = *number;
}

void take_place(FirstPlace& place, std::string_view name, std::string_view value) {
    if (name == "topic" && place.topic.empty()) place.topic = value;
    if (name == "partition") take_number(place.partition, value);
    if (name == "offset") take_number(place.offset, value);
    if (name == "timestamp-type" && place.timestamp_type == TimestampType::not_available)
        place.timestamp_type = detail::timestamp_type_of(value).value_or(TimestampType::not_available);
    if (name == "timestamp" && !place.timestamp)
        place.timestamp = detail::time_of(detail::big_endian<std::int64_t>(value));
}

} // namespace

RetryNote first_attempt(const RecordView& record) {
    RetryNote note;
    note.first = {.topic = record.topic,
                  .partition = record.partition,
                  .offset = record.offset,
                  .timestamp = record.timestamp,
                  .timestamp_type = record.timestamp_type,
                  .group = {}};
    return note;
}

RetryNote read_retry_headers(const RecordView& record) {
    constexpr std::string_view original = "kafka_original-";
    auto note = first_attempt(record);
    FirstPlace place;
    std::optional<WallTime> other_timestamp;
    for (const auto& [name, bytes] : record.headers) {
        const auto value = bytes.value_or("");
        if (name.starts_with(original)) take_place(place, name.substr(original.size()), value);
        if (name == group_name && place.group.empty()) place.group = value;
        if (name == "retry_topic-attempts")
            if (const auto attempts = attempts_of(value); attempts > 0) note.attempt = attempts;
        if (name == "retry_topic-original-timestamp" && !other_timestamp)
            other_timestamp = detail::time_of(detail::java_big_integer(value));
        if (name == "retry_topic-backoff-timestamp")
            if (const auto due = detail::time_of(detail::java_big_integer(value))) note.due = due;
    }
    if (place.topic.empty()) return note; // it was here first
    if (!place.timestamp) place.timestamp = other_timestamp;
    if (!place.timestamp) place.timestamp_type = TimestampType::not_available;
    note.first = place;
    return note;
}

Duration wait_until_due(const RetryNote& note, WallTime now, Duration longest) noexcept {
    if (!note.due || *note.due <= now) return Duration{0};
    const auto wait = *note.due - now;
    return wait > std::chrono::floor<std::chrono::milliseconds>(longest) ? Duration{0} : Duration{wait};
}

std::vector<HeaderView> headers_without_retries(const HeadersView& headers) {
    const RetryHeaderNames added{headers};
    std::vector<HeaderView> own;
    own.reserve(headers.size());
    for (const auto& header : headers)
        if (!added.contain(header.name)) own.push_back(header);
    return own;
}

RecordView first_record(const RecordView& record, const RetryNote& note, const std::vector<HeaderView>& headers) {
    return {.topic = note.first.topic,
            .partition = note.first.partition,
            .offset = note.first.offset,
            .key = record.key,
            .value = record.value,
            .headers = std::span<const HeaderView>{headers},
            .timestamp = note.first.timestamp,
            .timestamp_type = note.first.timestamp_type};
}

/// Adds headers in order, and points them at the texts that are made for them.
class RetryRecordWriter {
  public:
    struct Parts {
        bool stack_trace = true, message = true;
    };

    static RetryRecord write(const RecordView& record, const RetryNote& note, const Error& error,
                             const RetryContext& context, Parts parts) {
        RetryRecordWriter writer{record};
        writer.add_place(note.first, RetryHeaderNames{record.headers}.writes_group());
        if (context.with_error) writer.add_error(error, parts.message);
        if (parts.stack_trace && !context.stack_trace.empty())
            writer.add("kafka_exception-stacktrace",
                       context.stack_trace.substr(0, dead_letter_limits::stack_trace)); // its innermost frames
        writer.add_next(note, context);
        if (!has(record.headers, first_failure_name))
            writer.add_made(first_failure_name, std::string{detail::Digits{context.now}.text()});
        return std::move(writer).finish(record, context);
    }

  private:
    static constexpr std::size_t most_added = 16;

    explicit RetryRecordWriter(const RecordView& record) {
        made_.headers_ = headers_without_retries(record.headers);
        made_.headers_.reserve(made_.headers_.size() + most_added);
        made_.texts_.reserve(most_added);
    }

    void add_place(const FirstPlace& first, bool with_group) {
        if (!first.topic.empty()) add("kafka_original-topic", first.topic);
        if (first.partition >= 0) add_binary("kafka_original-partition", first.partition);
        if (first.offset >= 0) add_binary("kafka_original-offset", first.offset);
        if (first.timestamp) {
            add_binary("kafka_original-timestamp", milliseconds(*first.timestamp));
            add("kafka_original-timestamp-type", to_string(first.timestamp_type));
        }
        if (with_group && !first.group.empty()) add(group_name, first.group);
    }
    void add_error(const Error& error, bool with_message) {
        auto described = detail::describe(error);
        add_made("kafka_exception-fqcn", std::move(described.class_name));
        if (!described.cause_class_name.empty())
            add_made("kafka_exception-cause-fqcn", std::move(described.cause_class_name));
        if (with_message && described.message) add_made("kafka_exception-message", std::move(*described.message));
    }
    void add_next(const RetryNote& note, const RetryContext& context) {
        add_binary("retry_topic-attempts", static_cast<std::int32_t>(std::min(note.attempt + 1, most_attempts)));
        if (note.first.timestamp)
            add_made("retry_topic-original-timestamp",
                     detail::java_big_integer_bytes(milliseconds(*note.first.timestamp)));
        add_made("retry_topic-backoff-timestamp", detail::java_big_integer_bytes(milliseconds(context.due)));
    }

    RetryRecord finish(const RecordView& record, const RetryContext& context) && {
        made_.record_ = {.topic = context.topic,
                         .key = record.key,
                         .value = record.value,
                         .headers = std::span<const HeaderView>{made_.headers_},
                         .timestamp = context.now,
                         .timestamp_type = TimestampType::create_time};
        made_.size_ = record.key.value_or("").size() + record.value.value_or("").size() +
                      dead_letter_limits::record_overhead + made_.headers_.size() * dead_letter_limits::header_overhead;
        for (const auto& [name, value] : made_.headers_) made_.size_ += name.size() + value.value_or("").size();
        return std::move(made_);
    }

    static std::int64_t milliseconds(WallTime time) noexcept { return time.time_since_epoch().count(); }
    void add(std::string_view name, std::string_view value) { made_.headers_.push_back({name, value}); }
    void add_made(std::string_view name, std::string value) {
        assert(made_.texts_.size() < most_added);
        add(name, made_.texts_.emplace_back(std::move(value)));
    }
    template <class Number>
    void add_binary(std::string_view name, Number number) {
        const auto bytes = detail::big_endian_bytes(number);
        add_made(name, {bytes.data(), bytes.size()});
    }

    RetryRecord made_;
};

RetryRecord make_retry_record(const RecordView& record, const RetryNote& note, const Error& error,
                              const RetryContext& context) {
    auto made = RetryRecordWriter::write(record, note, error, context, {});
    if (made.record_size() > context.max_record_size && !context.stack_trace.empty())
        made = RetryRecordWriter::write(record, note, error, context, {.stack_trace = false});
    if (made.record_size() > context.max_record_size)
        made = RetryRecordWriter::write(record, note, error, context, {.stack_trace = false, .message = false});
    return made;
}

} // namespace velostream
