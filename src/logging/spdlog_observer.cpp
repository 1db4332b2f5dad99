// SPDX-License-Identifier: Apache-2.0
#include "velostream/logging/spdlog_observer.hpp"

#include <spdlog/logger.h>

#include <utility>

#include "logging/log_line.hpp"

namespace velostream {

namespace {

using detail::LogLine;
using Level = spdlog::level::level_enum;

// `off` where neither was selected.
Level level_of(bool at_info, bool at_debug) noexcept {
    return at_info ? spdlog::level::info : at_debug ? spdlog::level::debug : spdlog::level::off;
}

// `fill` adds the fields; it is not called for a line that nobody will see.
template <class Fill>
void print(spdlog::logger& logger, Level level, std::string_view event, Fill fill) noexcept {
    if (level == spdlog::level::off || !logger.should_log(level)) return;
    try {
        LogLine line{event};
        fill(line);
        logger.log(level, spdlog::string_view_t{line.text().data(), line.text().size()});
    } catch (...) {
        return; // not even memory for a line: the program has worse to worry about
    }
}

} // namespace

LogSelection LogSelection::from(const StreamingConfig& config) noexcept {
    return {.allocations = config.log_resource_allocations,
            .memory_details = config.debug_resource_management,
            .circuit_states = config.log_circuit_breaker_state_changes,
            .circuit_details = config.debug_circuit_breakers,
            .retry_attempts = config.log_retry_attempts,
            .retry_details = config.debug_retries,
            .refused_calls = config.debug_resource_management,
            .limit_changes = config.debug_resource_management,
            .dead_letters = config.debug_resource_management || config.debug_circuit_breakers || config.debug_retries,
            .connects = config.debug_resource_management};
}

SpdlogObserver::SpdlogObserver(std::shared_ptr<spdlog::logger> logger, const LogSelection& selection)
    : logger_(std::move(logger)), selection_(selection) {}

SpdlogObserver::~SpdlogObserver() = default;

void SpdlogObserver::on_memory_allocated(const MemoryAllocated& event) noexcept {
    print(*logger_, level_of(selection_.allocations, selection_.memory_details), "memory_allocated",
          [&](LogLine& line) {
              line.add("account", event.account)
                  .add("name", event.name)
                  .add("bytes", event.bytes)
                  .add("used", event.used);
              line.add("limit", event.limit);
          });
}

void SpdlogObserver::on_memory_released(const MemoryReleased& event) noexcept {
    print(*logger_, level_of(selection_.allocations, selection_.memory_details), "memory_released", [&](LogLine& line) {
        line.add("account", event.account).add("name", event.name).add("bytes", event.bytes).add("used", event.used);
    });
}

void SpdlogObserver::on_memory_refused(const MemoryRefused& event) noexcept {
    print(*logger_, level_of(selection_.allocations, selection_.memory_details), "memory_refused", [&](LogLine& line) {
        line.add("account", event.account).add("name", event.name).add("asked", event.asked).add("error", event.error);
    });
}

void SpdlogObserver::on_memory_stalled(const MemoryStalled& event) noexcept {
    print(*logger_, spdlog::level::warn, "memory_stalled", [&](LogLine& line) {
        line.add("account", event.account).add("waiting", event.waiting).add("used", event.used);
        line.add("limit", event.limit).add("lasts", event.lasts);
    });
}

void SpdlogObserver::on_pressure_changed(const PressureChanged& event) noexcept {
    const auto level = event.to == PressureLevel::normal ? spdlog::level::info
                       : event.to == PressureLevel::high ? spdlog::level::warn
                                                         : spdlog::level::err;
    print(*logger_, level, "pressure_changed", [&](LogLine& line) {
        line.add("from", to_string(event.from)).add("to", to_string(event.to));
        line.add("pressure_percentage", event.pressure_percentage);
    });
}

void SpdlogObserver::on_circuit_state_changed(const CircuitStateChanged& event) noexcept {
    const auto level = level_of(selection_.circuit_states, selection_.circuit_details);
    print(*logger_, level, "circuit_state_changed", [&](LogLine& line) {
        line.add("breaker", event.breaker).add("from", to_string(event.from)).add("to", to_string(event.to));
        line.add("why", event.why);
    });
}

void SpdlogObserver::on_call_rejected(const CallRejected& event) noexcept {
    print(*logger_, level_of(false, selection_.circuit_details), "call_rejected",
          [&](LogLine& line) { line.add("breaker", event.breaker).add("retry_after", event.retry_after); });
}

void SpdlogObserver::on_call_refused(const CallRefused& event) noexcept {
    print(*logger_, level_of(false, selection_.refused_calls), "call_refused", [&](LogLine& line) {
        line.add("limiter", event.limiter).add("why", event.why);
        line.add("retry_after", event.error.retry_after()).add("error", event.error);
    });
}

void SpdlogObserver::on_concurrency_limit_changed(const ConcurrencyLimitChanged& event) noexcept {
    print(*logger_, level_of(false, selection_.limit_changes), "concurrency_limit_changed", [&](LogLine& line) {
        line.add("limiter", event.limiter).add("from", event.from).add("to", event.to).add("why", event.why);
    });
}

void SpdlogObserver::on_retry_scheduled(const RetryScheduled& event) noexcept {
    const auto level = level_of(selection_.retry_attempts, selection_.retry_details);
    print(*logger_, level, "retry_scheduled", [&](LogLine& line) {
        line.add("failed_attempts", event.failed_attempts).add("delay", event.delay).add("error", event.error);
    });
}

void SpdlogObserver::on_retry_given_up(const RetryGivenUp& event) noexcept {
    const auto level = level_of(selection_.retry_attempts, selection_.retry_details);
    print(*logger_, level, "retry_given_up", [&](LogLine& line) {
        line.add("attempts", event.attempts);
        line.add(event.elapsed_longer ? "elapsed_more_than" : "elapsed", event.elapsed);
        line.add("why", event.why).add("error", event.error);
    });
}

void SpdlogObserver::on_connect_failed(const ConnectFailed& event) noexcept {
    print(*logger_, level_of(false, selection_.connects), "connect_failed",
          [&](LogLine& line) { line.add("pool", event.pool).add("error", event.error); });
}

void SpdlogObserver::on_connection_leaked(const ConnectionLeaked& event) noexcept {
    print(*logger_, spdlog::level::warn, "connection_leaked", [&](LogLine& line) {
        line.add("pool", event.pool).add("lent_for", event.lent_for);
        line.add("file", event.borrowed_at.file_name()).add("line", event.borrowed_at.line());
    });
}

void SpdlogObserver::on_dead_letter_stored(const DeadLetterStored& event) noexcept {
    print(*logger_, level_of(false, selection_.dead_letters), "dead_letter_stored",
          [&](LogLine& line) { line.add("topic", event.topic).add("error", event.error); });
}

void SpdlogObserver::on_dead_letter_delayed(const DeadLetterDelayed& event) noexcept {
    print(*logger_, spdlog::level::warn, "dead_letter_delayed", [&](LogLine& line) {
        line.add("topic", event.topic).add("failed_deliveries", event.failed_deliveries);
        line.add("error", event.delivery_error);
    });
}

void SpdlogObserver::on_dead_letter_spooled(const DeadLetterSpooled& event) noexcept {
    print(*logger_, level_of(false, selection_.dead_letters), "dead_letter_spooled", [&](LogLine& line) {
        line.add("topic", event.topic).add("waiting", event.waiting).add("error", event.error);
    });
}

void SpdlogObserver::on_dead_letter_flood(const DeadLetterFlood& event) noexcept {
    print(*logger_, spdlog::level::err, "dead_letter_flood", [&](LogLine& line) {
        line.add("topic", event.topic).add("why", event.why).add("hold", event.hold).add("error", event.error);
    });
}

void SpdlogObserver::on_dead_letters_stuck(const DeadLettersStuck& event) noexcept {
    print(*logger_, spdlog::level::err, "dead_letters_stuck", [&](LogLine& line) {
        line.add("topic", event.topic).add("waiting", event.waiting).add("failed_deliveries", event.failed_deliveries);
        line.add("error", event.delivery_error);
    });
}

void SpdlogObserver::on_dead_letter_topic_differs(const DeadLetterTopicDiffers& event) noexcept {
    print(*logger_, spdlog::level::warn, "dead_letter_topic_differs", [&](LogLine& line) {
        line.add("topic", event.topic).add("setting", event.setting);
        line.add("wanted", event.wanted).add("actual", event.actual);
    });
}

} // namespace velostream
