// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/dead_letter_envelope.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/dead_letter_ladder.hpp"
#include "core/dead_letter_writer.hpp"
#include "core/error_description.hpp"

namespace velostream {

namespace {

using detail::LetterPlan;

// Whole lines only, where the text has lines.
std::string_view bounded_stack_trace(std::string_view text) noexcept {
    if (text.size() <= dead_letter_limits::stack_trace) return text;
    const auto lines = detail::cut_lines(text, dead_letter_limits::stack_trace);
    return lines.empty() ? text.substr(0, dead_letter_limits::stack_trace) : lines;
}

std::size_t size_of(const RecordView& record) {
    auto size = record.key.value_or("").size() + record.value.value_or("").size();
    for (const auto& header : record.headers) size += header.name.size() + header.value.value_or("").size();
    return size;
}

void plan_failure(LetterPlan& plan, const Error& error) {
    const auto& failure = plan.context.failure;
    plan.error = detail::describe(error);
    const auto last = failure.last_failure.value_or(plan.context.now);
    auto first = plan.earlier.first_failure ? plan.earlier.first_failure : failure.first_failure;
    if (!first && error.attempts() <= 1) first = last;
    plan.failure =
        LetterPlan::Failure{.type = error.type(),
                            .attempts = std::max(error.attempts(), 1u),
                            .fingerprint = detail::fingerprint(to_string(error.type()), plan.error.class_name,
                                                               plan.error.message.value_or("")),
                            .first = first,
                            .last = last};
    if (plan.error.chain_size > plan.error.chain.size()) plan.note("chain", plan.error.chain_size);
    if (plan.error.message_size > dead_letter_limits::message) plan.note("message", plan.error.message_size);
}

LetterPlan plan_of(const RecordView& record, const Error& error, const DeadLetterQueueConfig& config,
                   const DeadLetterContext& context) {
    LetterPlan plan{.record = record,
                    .context = context,
                    .topic = config.topic,
                    .earlier = detail::earlier_round_of(record.headers),
                    .with_original = config.include_original_record,
                    .replaced = config.header_families,
                    .families = config.header_families};
    if (!config.include_original_record) plan.note("record", size_of(record));
    if (config.include_stack_trace) {
        plan.stack_trace = bounded_stack_trace(context.stack_trace);
        if (plan.stack_trace.size() < context.stack_trace.size()) plan.note("stacktrace", context.stack_trace.size());
    }
    if (config.include_error_details) plan_failure(plan, error);
    return plan;
}

} // namespace

DeadLetter make_dead_letter(const RecordView& record, const Error& error, const DeadLetterQueueConfig& config,
                            const DeadLetterContext& context) {
    auto plan = plan_of(record, error, config, context);
    auto letter = DeadLetterWriter::write(plan);
    if (letter.record_size() <= config.max_record_size) return letter;
    return detail::DeadLetterLadder{plan, config.max_record_size}.fitted(std::move(letter));
}

std::size_t DeadLetter::record_size() const noexcept {
    return size_bytes_ + dead_letter_limits::record_overhead + headers_.size() * dead_letter_limits::header_overhead;
}

RecordView DeadLetter::record() const noexcept {
    return {.topic = topic_,
            .partition = source_partition_,
            .key = key_,
            .value = value_,
            .headers = headers(),
            .timestamp = timestamp_,
            .timestamp_type = TimestampType::create_time};
}

DeadLetter DeadLetter::restored(const RecordView& record) {
    DeadLetter letter;
    letter.topic_ = record.topic;
    letter.source_partition_ = record.partition;
    letter.key_ = record.key;
    letter.value_ = record.value;
    letter.headers_.assign(record.headers.begin(), record.headers.end());
    letter.timestamp_ = record.timestamp.value_or(WallTime{});
    letter.size_bytes_ = record.key.value_or("").size() + record.value.value_or("").size();
    for (const auto& header : letter.headers_)
        letter.size_bytes_ += header.name.size() + header.value.value_or("").size();
    if (const auto* id = letter.header("x-dlq-id")) letter.id_ = id->value.value_or("");
    return letter;
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
        case Errc::disk_quota_exceeded:
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
