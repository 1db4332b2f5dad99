// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/dead_letter_envelope.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <span>
#include <string>

#include "core/error_description.hpp"

namespace velostream {

namespace {

using detail::ErrorDescription;

constexpr std::string_view connect_prefix = "__connect.errors.";
constexpr std::string_view own_prefix = "x-dlq-";
constexpr std::size_t most_own_headers = 20;

// On the heap from the start: a text that short strings keep inside would move away from the views into it.
constexpr std::size_t usual_texts = 512;

bool is_ours(std::string_view name) noexcept {
    return name.starts_with(own_prefix) || name.starts_with(connect_prefix);
}

/// A number as decimal or hexadecimal text, without an allocation.
class Digits {
  public:
    template <class Number>
    explicit Digits(Number number, int base = 10) noexcept {
        end_ = std::to_chars(buffer_.data(), buffer_.data() + buffer_.size(), number, base).ptr;
    }
    Digits(const Digits&) = delete;
    Digits& operator=(const Digits&) = delete;
    std::string_view text() const noexcept { return {buffer_.data(), end_}; }

  private:
    std::array<char, 24> buffer_;
    const char* end_;
};

/// What an earlier round left on the record.
struct EarlierRound {
    NullableBytes id, first_failure, original_timestamp, original_timestamp_type;
};

EarlierRound earlier_round_of(const HeadersView& headers) {
    EarlierRound earlier;
    for (const auto& [name, value] : headers) {
        if (!name.starts_with(own_prefix)) continue;
        const auto rest = name.substr(own_prefix.size());
        if (rest == "id" && value && value->size() <= dead_letter_limits::id) earlier.id = value;
        if (rest == "first-failure-ms") earlier.first_failure = value;
        if (rest == "original-timestamp") earlier.original_timestamp = value;
        if (rest == "original-timestamp-type") earlier.original_timestamp_type = value;
    }
    return earlier;
}

// The place of the record, which is its own; without one, the serial number of the dead letter.
std::string id_of(const RecordView& record, const DeadLetterContext& context) {
    constexpr std::string_view unknown = "-";
    std::string id;
    id.reserve(record.topic.size() + context.group.size() + context.handler.size() + context.serial.size() + 44);
    id.append(record.topic).append("/");
    id.append(record.partition < 0 ? unknown : Digits{record.partition}.text()).append("/");
    if (record.offset >= 0)
        id.append(Digits{record.offset}.text());
    else
        id.append(context.serial.empty() ? unknown : context.serial);
    id.append("/").append(context.group).append("/").append(context.handler);
    return detail::cut(std::move(id), dead_letter_limits::id);
}

} // namespace

/// Writes the headers in order. Values that are made here are collected in one text; the headers are pointed at it when
/// it no longer grows.
class DeadLetterWriter {
  public:
    DeadLetterWriter(const RecordView& record, const DeadLetterQueueConfig& config, const DeadLetterContext& context)
        : context_(context) {
        letter_.topic_ = config.topic;
        letter_.timestamp_ = context.now;
        letter_.source_partition_ = record.partition;
        letter_.headers_.reserve((config.include_original_record ? record.headers.size() : 0) + most_own_headers);
        letter_.texts_.reserve(usual_texts);
        if (config.include_original_record) add_original(record);
    }

    void add_place(const RecordView& record) {
        if (!record.topic.empty()) add("__connect.errors.topic", record.topic);
        if (record.partition >= 0) add_made("__connect.errors.partition", Digits{record.partition}.text());
        if (record.offset >= 0) add_made("__connect.errors.offset", Digits{record.offset}.text());
        add_unless_empty("__connect.errors.connector.name", context_.application);
        add_unless_empty("__connect.errors.task.id", context_.instance);
        add_unless_empty("__connect.errors.class.name", context_.handler);
    }

    void add_exception(const ErrorDescription& error) {
        add("__connect.errors.stage", to_string(context_.failure.stage));
        add_made("__connect.errors.exception.class.name", error.class_name);
        if (error.message)
            add_made("__connect.errors.exception.message", *error.message);
        else
            letter_.headers_.emplace_back().name = "__connect.errors.exception.message";
    }

    void add_stack_trace() {
        auto text = context_.stack_trace;
        if (text.size() > dead_letter_limits::stack_trace)
            text = text.substr(0, text.rfind('\n', dead_letter_limits::stack_trace)); // whole lines only
        if (text.size() > dead_letter_limits::stack_trace) text = text.substr(0, dead_letter_limits::stack_trace);
        add_unless_empty("__connect.errors.exception.stacktrace", text);
    }

    void add_identity(const RecordView& record, const EarlierRound& earlier) {
        add("x-dlq-version", "1");
        if (earlier.id)
            add("x-dlq-id", *earlier.id);
        else
            add_made("x-dlq-id", id_of(record, context_));
        id_index_ = letter_.headers_.size() - 1;
        if (earlier.original_timestamp) {
            add("x-dlq-original-timestamp", *earlier.original_timestamp);
            if (earlier.original_timestamp_type) add("x-dlq-original-timestamp-type", *earlier.original_timestamp_type);
        } else if (record.timestamp) {
            add_time("x-dlq-original-timestamp", *record.timestamp);
            add("x-dlq-original-timestamp-type", to_string(record.timestamp_type));
        }
        add_unless_empty("x-dlq-group", context_.group);
    }

    void add_failure(const Error& error, const ErrorDescription& description, const EarlierRound& earlier) {
        const auto& failure = context_.failure;
        const auto last_failure = failure.last_failure.value_or(context_.now);
        add("x-dlq-error-type", to_string(error.type()));
        add_made("x-dlq-attempts", Digits{std::max(error.attempts(), 1u)}.text());
        if (earlier.first_failure)
            add("x-dlq-first-failure-ms", *earlier.first_failure);
        else if (failure.first_failure)
            add_time("x-dlq-first-failure-ms", *failure.first_failure);
        else if (error.attempts() <= 1)
            add_time("x-dlq-first-failure-ms", last_failure);
        add_time("x-dlq-last-failure-ms", last_failure);
        add_fingerprint(detail::fingerprint(error, description));
        if (!description.chain.empty()) add_made("x-dlq-chain", description.chain);
    }

    DeadLetter finish() && {
        for (const auto& [header, begin, size] : std::span{made_values_}.first(made_count_))
            letter_.headers_[header].value.emplace(letter_.texts_.data() + begin, size);
        letter_.id_ = *letter_.headers_[id_index_].value;

        letter_.size_bytes_ = letter_.key_.value_or("").size() + letter_.value_.value_or("").size();
        for (const auto& [name, value] : letter_.headers_)
            letter_.size_bytes_ += name.size() + value.value_or("").size();
        return std::move(letter_);
    }

  private:
    struct MadeValue {
        std::size_t header, begin, size;
    };

    void add_original(const RecordView& record) {
        letter_.key_ = record.key;
        letter_.value_ = record.value;
        for (const auto& header : record.headers)
            if (!is_ours(header.name)) letter_.headers_.push_back(header);
    }

    // `value` outlives the letter. Written in place: a copied HeaderView waits for its own parts to be stored.
    void add(std::string_view name, std::string_view value) {
        auto& header = letter_.headers_.emplace_back();
        header.name = name;
        header.value.emplace(value);
    }
    void add_unless_empty(std::string_view name, std::string_view value) {
        if (!value.empty()) add(name, value);
    }
    void add_made(std::string_view name, std::string_view value) {
        assert(made_count_ < made_values_.size());
        made_values_[made_count_++] = {letter_.headers_.size(), letter_.texts_.size(), value.size()};
        letter_.texts_ += value;
        letter_.headers_.emplace_back().name = name;
    }
    void add_time(std::string_view name, WallTime time) {
        add_made(name, Digits{time.time_since_epoch().count()}.text());
    }
    void add_fingerprint(std::uint64_t value) {
        constexpr std::size_t width = 16;
        const Digits digits{value, 16};
        std::array<char, width> padded;
        padded.fill('0');
        std::ranges::copy(digits.text(), padded.end() - static_cast<std::ptrdiff_t>(digits.text().size()));
        add_made("x-dlq-fingerprint", {padded.data(), width});
    }

    const DeadLetterContext& context_;
    DeadLetter letter_;
    std::array<MadeValue, most_own_headers> made_values_{};
    std::size_t made_count_ = 0;
    std::size_t id_index_ = 0;
};

DeadLetter make_dead_letter(const RecordView& record, const Error& error, const DeadLetterQueueConfig& config,
                            const DeadLetterContext& context) {
    const auto earlier = earlier_round_of(record.headers);
    const auto description = config.include_error_details ? detail::describe(error) : ErrorDescription{};

    DeadLetterWriter writer{record, config, context};
    writer.add_place(record);
    if (config.include_error_details) writer.add_exception(description);
    if (config.include_stack_trace) writer.add_stack_trace();
    writer.add_identity(record, earlier);
    if (config.include_error_details) writer.add_failure(error, description, earlier);
    return std::move(writer).finish();
}

const HeaderView* DeadLetter::header(std::string_view name) const noexcept {
    const auto found = std::ranges::find(headers_.rbegin(), headers_.rend(), name, &HeaderView::name);
    return found == headers_.rend() ? nullptr : &*found;
}

std::string_view to_string(FailedStage stage) noexcept {
    switch (stage) {
        case FailedStage::consume:
            return "KAFKA_CONSUME";
        case FailedStage::decode:
            return "VALUE_CONVERTER";
        case FailedStage::process:
            return "TRANSFORMATION";
        case FailedStage::store:
            return "TASK_PUT";
        case FailedStage::send:
            return "KAFKA_PRODUCE";
    }
    return "TRANSFORMATION";
}

namespace {

// Errors that came before any attempt to process the record: they say nothing about it.
bool is_refusal(const Error& error) noexcept {
    if (error == make_error_code(boost::system::errc::not_enough_memory)) return true;
    if (error.code().category() != velostream_category()) return false;
    switch (static_cast<Errc>(error.code().value())) {
        case Errc::memory_limit_exceeded:
        case Errc::admission_refused:
        case Errc::window_buffer_full:
        case Errc::circuit_open:
        case Errc::bulkhead_full:
        case Errc::rate_limited:
        case Errc::pool_timeout:
        case Errc::pool_exhausted:
        case Errc::record_not_to_blame:
            return true;
        default:
            return false;
    }
}

} // namespace

bool takes(DeadLetterPolicy policy, const Error& error) noexcept {
    if (policy == DeadLetterPolicy::everything || error.blames_record()) return true;
    if (policy == DeadLetterPolicy::record_faults_only) return false;
    if (error == Errc::retries_exhausted && error.inner()) return takes(policy, *error.inner());
    const auto type = error.type();
    return !is_refusal(error) && type != ErrorType::cancelled && type != ErrorType::authentication &&
           type != ErrorType::authorization;
}

} // namespace velostream
