// SPDX-License-Identifier: Apache-2.0
#include "core/dead_letter_writer.hpp"

#include <cassert>
#include <span>
#include <utility>

#include "core/utf8.hpp"

namespace velostream {

namespace detail {

EarlierRound earlier_round_of(const HeadersView& headers) {
    EarlierRound earlier;
    const auto keep = [](auto& field, const auto& read) {
        if (read) field = read;
    };
    for (const auto& [name, value] : headers) {
        if (!name.starts_with(own_prefix) || !value) continue;
        const auto rest = name.substr(own_prefix.size());
        if (rest == "id" && !value->empty() && value->size() <= dead_letter_limits::id) earlier.id = value;
        if (rest == "first-failure-ms") keep(earlier.first_failure, time_of(decimal<std::int64_t>(*value)));
        if (rest == "original-timestamp") keep(earlier.original_timestamp, time_of(decimal<std::int64_t>(*value)));
        if (rest == "original-timestamp-type") keep(earlier.original_timestamp_type, timestamp_type_of(*value));
        if (rest == "redrive-count") keep(earlier.redrive_count, decimal<std::uint32_t>(*value));
    }
    return earlier;
}

std::string dead_letter_id(const RecordView& record, std::string_view group, std::string_view handler,
                           std::string_view serial) {
    constexpr std::string_view unknown = "-";
    std::string id;
    id.reserve(record.topic.size() + group.size() + handler.size() + serial.size() + 44);
    id.append(record.topic).append("/");
    id.append(record.partition < 0 ? unknown : Digits{record.partition}.text()).append("/");
    if (record.offset >= 0)
        id.append(Digits{record.offset}.text());
    else
        id.append(serial.empty() ? unknown : serial);
    id.append("/").append(group).append("/").append(handler);
    return cut(std::move(id), dead_letter_limits::id);
}

void LetterPlan::note(std::string_view part, std::size_t bytes) {
    const auto begins_with_part = [&](std::string_view entries) {
        return entries.starts_with(part) && entries.substr(part.size()).starts_with('=');
    };
    for (std::string_view rest = truncated; !rest.empty();) {
        if (begins_with_part(rest)) return;
        const auto comma = rest.find(',');
        rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    }
    if (!truncated.empty()) truncated += ',';
    truncated.append(part).append("=").append(Digits{bytes}.text());
}

} // namespace detail

namespace {

// On the heap from the start: a text that short strings keep inside would move away from the views into it.
constexpr std::size_t usual_texts = 512;
constexpr std::size_t usual_headers = 24;

std::array<char, 16> hexadecimal(std::uint64_t number) noexcept {
    std::array<char, 16> digits{};
    for (auto at = digits.size(); at > 0; number >>= 4) digits[--at] = "0123456789abcdef"[number & 0xF];
    return digits;
}

} // namespace

DeadLetterWriter::DeadLetterWriter(const detail::LetterPlan& plan) : plan_(plan) {
    letter_.topic_ = plan.topic;
    letter_.timestamp_ = plan.context.now;
    letter_.source_partition_ = plan.record.partition;
    const bool is_usual = !plan.families.spring && !plan.families.streams;
    letter_.headers_.reserve((plan.with_original ? plan.record.headers.size() : 0) +
                             (is_usual ? usual_headers : most_own_headers));
    letter_.texts_.reserve(usual_texts);
}

DeadLetter DeadLetterWriter::write(const detail::LetterPlan& plan) {
    DeadLetterWriter writer{plan};
    if (plan.with_original) writer.add_original();
    if (plan.families.streams) writer.add_streams();
    if (plan.families.spring) writer.add_spring();
    if (plan.families.connect) writer.add_connect();
    writer.add_own();
    return std::move(writer).finish();
}

void DeadLetterWriter::add_original() {
    letter_.key_ = plan_.record.key;
    letter_.value_ = plan_.record.value;
    const auto& families = plan_.replaced;
    const auto is_replaced = [&](std::string_view name) {
        return name.starts_with(detail::own_prefix) || (families.connect && name.starts_with(detail::connect_prefix)) ||
               (families.spring && name.starts_with(detail::spring_prefix)) ||
               (families.streams && name.starts_with(detail::streams_prefix));
    };
    for (const auto& header : plan_.record.headers)
        if (!is_replaced(header.name)) letter_.headers_.push_back(header);
}

void DeadLetterWriter::add_connect() {
    add_unless_empty("__connect.errors.topic", plan_.record.topic);
    if (plan_.record.partition >= 0) add_digits("__connect.errors.partition", plan_.record.partition);
    if (plan_.record.offset >= 0) add_digits("__connect.errors.offset", plan_.record.offset);
    if (plan_.with_context) {
        add_unless_empty("__connect.errors.connector.name", plan_.context.application);
        add_unless_empty("__connect.errors.task.id", plan_.context.instance);
        add_unless_empty("__connect.errors.class.name", plan_.context.handler);
    }
    if (plan_.failure && plan_.with_error) {
        add("__connect.errors.stage", to_string(plan_.context.failure.stage));
        add_made("__connect.errors.exception.class.name", plan_.error.class_name);
        add_message("__connect.errors.exception.message");
    }
    add_unless_empty("__connect.errors.exception.stacktrace", plan_.stack_trace);
}

void DeadLetterWriter::add_spring() {
    const auto& record = plan_.record;
    const auto& earlier = plan_.earlier;
    add_unless_empty("kafka_dlt-original-topic", record.topic);
    if (record.partition >= 0) add_binary("kafka_dlt-original-partition", record.partition);
    if (record.offset >= 0) add_binary("kafka_dlt-original-offset", record.offset);
    if (const auto time = earlier.original_timestamp ? earlier.original_timestamp : record.timestamp) {
        const auto type = earlier.original_timestamp ? earlier.original_timestamp_type : record.timestamp_type;
        add_binary("kafka_dlt-original-timestamp", std::int64_t{time->time_since_epoch().count()});
        if (type) add("kafka_dlt-original-timestamp-type", to_string(*type));
    }
    if (plan_.with_context) add_unless_empty("kafka_dlt-original-consumer-group", plan_.context.group);
    if (plan_.failure && plan_.with_error) {
        add_made("kafka_dlt-exception-fqcn", plan_.error.class_name);
        add_made_unless_empty("kafka_dlt-exception-cause-fqcn", plan_.error.cause_class_name);
        if (plan_.error.message) add_message("kafka_dlt-exception-message"); // Spring has no null ones
    }
    add_unless_empty("kafka_dlt-exception-stacktrace", plan_.stack_trace);
}

void DeadLetterWriter::add_streams() {
    if (plan_.failure && plan_.with_error) {
        add_made("__streams.errors.exception", plan_.error.class_name);
        add_message("__streams.errors.message");
    }
    add_unless_empty("__streams.errors.stacktrace", plan_.stack_trace);
    add_unless_empty("__streams.errors.topic", plan_.record.topic);
    if (plan_.record.partition >= 0) add_digits("__streams.errors.partition", plan_.record.partition);
    if (plan_.record.offset >= 0) add_digits("__streams.errors.offset", plan_.record.offset);
}

void DeadLetterWriter::add_own() {
    const auto& record = plan_.record;
    const auto& context = plan_.context;
    const auto& earlier = plan_.earlier;
    add("x-dlq-version", "1");
    if (earlier.id)
        add("x-dlq-id", *earlier.id);
    else
        add_made("x-dlq-id", detail::dead_letter_id(record, context.group, context.handler, context.serial));
    id_index_ = letter_.headers_.size() - 1;
    if (earlier.original_timestamp) {
        add_digits("x-dlq-original-timestamp", *earlier.original_timestamp);
        if (earlier.original_timestamp_type)
            add("x-dlq-original-timestamp-type", to_string(*earlier.original_timestamp_type));
    } else if (record.timestamp) {
        add_digits("x-dlq-original-timestamp", *record.timestamp);
        add("x-dlq-original-timestamp-type", to_string(record.timestamp_type));
    }
    if (plan_.with_context) add_unless_empty("x-dlq-group", context.group);
    if (plan_.failure) add_own_failure(*plan_.failure);
    if (earlier.redrive_count) add_digits("x-dlq-redrive-count", *earlier.redrive_count);
    add_made_unless_empty("x-dlq-truncated", plan_.truncated);
}

void DeadLetterWriter::add_own_failure(const detail::LetterPlan::Failure& failure) {
    if (!plan_.with_error) {
        if (failure.first) add_digits("x-dlq-first-failure-ms", *failure.first); // stays over rounds
        return;
    }
    add("x-dlq-error-type", to_string(failure.type));
    add_digits("x-dlq-attempts", failure.attempts);
    if (failure.first) add_digits("x-dlq-first-failure-ms", *failure.first);
    add_digits("x-dlq-last-failure-ms", failure.last);
    const auto fingerprint = hexadecimal(failure.fingerprint);
    add_made("x-dlq-fingerprint", {fingerprint.data(), fingerprint.size()});
    add_made_unless_empty("x-dlq-chain", plan_.error.chain);
}

DeadLetter DeadLetterWriter::finish() && {
    for (const auto& [header, begin, size] : std::span{made_values_}.first(made_count_))
        letter_.headers_[header].value.emplace(letter_.texts_.data() + begin, size);
    letter_.id_ = *letter_.headers_[id_index_].value;

    letter_.size_bytes_ = letter_.key_.value_or("").size() + letter_.value_.value_or("").size();
    for (const auto& [name, value] : letter_.headers_) letter_.size_bytes_ += name.size() + value.value_or("").size();
    return std::move(letter_);
}

// Written in place: a copied HeaderView waits for its own parts to be stored.
void DeadLetterWriter::add(std::string_view name, std::string_view value) {
    auto& header = letter_.headers_.emplace_back();
    header.name = name;
    header.value.emplace(value);
}
void DeadLetterWriter::add_unless_empty(std::string_view name, std::string_view value) {
    if (!value.empty()) add(name, value);
}
void DeadLetterWriter::add_made(std::string_view name, std::string_view value) {
    assert(made_count_ < made_values_.size());
    made_values_[made_count_++] = {letter_.headers_.size(), letter_.texts_.size(), value.size()};
    letter_.texts_ += value;
    letter_.headers_.emplace_back().name = name;
}
void DeadLetterWriter::add_made_unless_empty(std::string_view name, std::string_view value) {
    if (!value.empty()) add_made(name, value);
}
void DeadLetterWriter::add_message(std::string_view name) {
    if (!plan_.with_message) return;
    if (plan_.error.message)
        add_made(name, *plan_.error.message);
    else
        letter_.headers_.emplace_back().name = name;
}
template <class Number>
void DeadLetterWriter::add_digits(std::string_view name, Number number) {
    add_made(name, detail::Digits{number}.text());
}
template <class Number>
void DeadLetterWriter::add_binary(std::string_view name, Number number) {
    const auto bytes = detail::big_endian_bytes(number);
    add_made(name, {bytes.data(), bytes.size()});
}

} // namespace velostream
