// SPDX-License-Identifier: Apache-2.0
#include "velostream/dead_letter_queue.hpp"

#include <algorithm>
#include <random>

#include "core/error_description.hpp"

namespace velostream::detail {

DeadLetterCounts::InFlight::InFlight(DeadLetterCounts& counts) : counts_(counts) {
    const std::lock_guard lock{counts_.mutex_};
    ++counts_.stats_.in_flight;
}

DeadLetterCounts::InFlight::~InFlight() {
    const std::lock_guard lock{counts_.mutex_};
    auto& stats = counts_.stats_;
    --stats.in_flight;
    switch (end_) {
        case End::sent:
            ++stats.sent;
            if (is_spooled_) ++stats.spooled;
            ++stats.by_type[static_cast<std::size_t>(type_)];
            break;
        case End::lost:
            ++stats.lost;
            break;
        case End::refused:
            ++stats.refused;
            break;
        case End::cancelled:
            ++stats.cancelled;
            break;
    }
}

void DeadLetterCounts::InFlight::on_delivery_failed() {
    const std::lock_guard lock{counts_.mutex_};
    ++counts_.stats_.failed_deliveries;
}

void DeadLetterCounts::on_refused() {
    const std::lock_guard lock{mutex_};
    ++stats_.refused;
}

DeadLetterQueueStats DeadLetterCounts::snapshot() const {
    const std::lock_guard lock{mutex_};
    return stats_;
}

DeadLetterSerials::DeadLetterSerials() {
    std::random_device random;
    constexpr char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; ++i) prefix_ += digits[random() & 0xF];
    prefix_ += '-';
}

std::string DeadLetterSerials::next() {
    // relaxed: only that no two are equal matters
    return prefix_ + std::to_string(next_.fetch_add(1, std::memory_order_relaxed));
}

std::optional<FloodGuard::Hold> DeadLetterFloods::on_letter(TimePoint now, const Error& error) {
    if (!is_on_) return std::nullopt;
    const bool blames_record = error.blames_record();
    const auto described = blames_record ? ErrorDescription{} : describe(error); // a bad record has no cause to share
    const auto cause = fingerprint(to_string(error.type()), described.class_name, described.message.value_or(""));
    const std::lock_guard lock{mutex_};
    return guard_.on_letter(now, blames_record, cause, processed_.load(std::memory_order_relaxed));
}

Error not_to_blame(const Error& error) {
    return Error{Errc::record_not_to_blame, "hold it and try again"}.with_inner(error);
}

Error dead_letter_lost(const DeadLetterQueueConfig& config, std::uint32_t deliveries, Error last_error) {
    auto detail = "topic " + config.topic + ", " + std::to_string(deliveries) + " deliveries failed";
    return Error{Errc::dead_letter_lost, std::move(detail)}.with_attempts(deliveries).with_inner(std::move(last_error));
}

Error own_dead_letter(const DeadLetterQueueConfig& config) {
    return {Errc::invalid_configuration,
            "the record was read from the dead letter topic " + config.topic + " and would return to it for ever"};
}

Error not_spooled(const Error& spool_error, std::optional<Error> delivery_error) {
    const auto inner = spool_error.inner();
    const auto& why = spool_error == Errc::deadline_exceeded && inner ? *inner : spool_error;
    return delivery_error ? why.with_inner(std::move(*delivery_error)) : why;
}

Spool open_spool(const DeadLetterQueueConfig& config) {
    // Several files: one letter that stays keeps only its own.
    const auto segment_size = std::clamp(config.spool_max_size / 16, 64_KiB, SpoolConfig{}.segment_size);
    return Spool::open({.directory = config.spool_directory,
                        .max_size = config.spool_max_size,
                        .min_free_disk = config.spool_min_free_disk,
                        .segment_size = segment_size})
        .value();
}

} // namespace velostream::detail
