// SPDX-License-Identifier: Apache-2.0
#include "velostream/filtering_observer.hpp"

#include <algorithm>
#include <chrono>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>

namespace velostream {

namespace {

std::string milliseconds_up_to(Duration duration) {
    return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(duration).count()) + " ms";
}
// Of what took longer than that.
std::string whole_milliseconds(Duration duration) {
    return std::to_string(std::chrono::floor<std::chrono::milliseconds>(duration).count()) + " ms";
}

} // namespace

FilteringObserver::FilteringObserver(const StreamingConfig& config, std::shared_ptr<Observer> behind) noexcept
    : behind_(std::move(behind)),
      allocations_(behind_ && (config.log_resource_allocations || config.debug_resource_management)),
      refusals_(behind_ && config.debug_resource_management),
      states_(behind_ && (config.log_circuit_breaker_state_changes || config.debug_circuit_breakers)),
      rejections_(behind_ && config.debug_circuit_breakers),
      retries_(behind_ && (config.log_retry_attempts || config.debug_retries)),
      retries_given_up_(behind_ && config.debug_retries) {}

void FilteringObserver::on_memory_allocated(const MemoryAllocated& event) noexcept {
    if (allocations_) behind_->on_memory_allocated(event);
}
void FilteringObserver::on_memory_released(const MemoryReleased& event) noexcept {
    if (allocations_) behind_->on_memory_released(event);
}
void FilteringObserver::on_memory_refused(const MemoryRefused& event) noexcept {
    if (refusals_) behind_->on_memory_refused(event);
}
void FilteringObserver::on_memory_stalled(const MemoryStalled& event) noexcept {
    if (behind_) behind_->on_memory_stalled(event);
}
void FilteringObserver::on_pressure_changed(const PressureChanged& event) noexcept {
    if (behind_) behind_->on_pressure_changed(event);
}
void FilteringObserver::on_circuit_state_changed(const CircuitStateChanged& event) noexcept {
    if (states_) behind_->on_circuit_state_changed(event);
}
void FilteringObserver::on_call_rejected(const CallRejected& event) noexcept {
    if (rejections_) behind_->on_call_rejected(event);
}
void FilteringObserver::on_call_refused(const CallRefused& event) noexcept {
    if (refusals_) behind_->on_call_refused(event);
}
void FilteringObserver::on_concurrency_limit_changed(const ConcurrencyLimitChanged& event) noexcept {
    if (refusals_) behind_->on_concurrency_limit_changed(event);
}
void FilteringObserver::on_retry_scheduled(const RetryScheduled& event) noexcept {
    if (retries_) behind_->on_retry_scheduled(event);
}
void FilteringObserver::on_retry_given_up(const RetryGivenUp& event) noexcept {
    if (retries_given_up_) behind_->on_retry_given_up(event);
}
void FilteringObserver::on_connect_failed(const ConnectFailed& event) noexcept {
    if (refusals_) behind_->on_connect_failed(event);
}
void FilteringObserver::on_connection_leaked(const ConnectionLeaked& event) noexcept {
    if (behind_) behind_->on_connection_leaked(event);
}
void FilteringObserver::on_dead_letter_stored(const DeadLetterStored& event) noexcept {
    if (behind_) behind_->on_dead_letter_stored(event);
}
void FilteringObserver::on_dead_letter_delayed(const DeadLetterDelayed& event) noexcept {
    if (behind_) behind_->on_dead_letter_delayed(event);
}
void FilteringObserver::on_dead_letter_spooled(const DeadLetterSpooled& event) noexcept {
    if (behind_) behind_->on_dead_letter_spooled(event);
}
void FilteringObserver::on_dead_letter_flood(const DeadLetterFlood& event) noexcept {
    if (behind_) behind_->on_dead_letter_flood(event);
}
void FilteringObserver::on_dead_letters_stuck(const DeadLettersStuck& event) noexcept {
    if (behind_) behind_->on_dead_letters_stuck(event);
}
void FilteringObserver::on_dead_letter_topic_differs(const DeadLetterTopicDiffers& event) noexcept {
    if (behind_) behind_->on_dead_letter_topic_differs(event);
}

// One write a line. A stream that throws, or no memory for the text, loses the line and nothing else.
template <class... Parts>
void StreamObserver::line(const Parts&... parts) noexcept {
    try {
        std::ostringstream text;
        text << "velostream: ";
        (text << ... << parts);
        auto one_line = std::move(text).str();
        std::ranges::replace_if(one_line, [](unsigned char character) { return character < ' '; }, ' ');
        one_line += '\n';
        const std::scoped_lock lock{mutex_};
        out_ << one_line << std::flush;
    } catch (...) {
        return;
    }
}

void StreamObserver::on_memory_allocated(const MemoryAllocated& event) noexcept {
    if (event.limit)
        line("memory ", event.name, ": allocated ", event.bytes, " bytes, ", event.account, " uses ", event.used,
             " of ", *event.limit);
    else
        line("memory ", event.name, ": allocated ", event.bytes, " bytes, ", event.account, " uses ", event.used);
}
void StreamObserver::on_memory_released(const MemoryReleased& event) noexcept {
    line("memory ", event.name, ": released ", event.bytes, " bytes, ", event.account, " uses ", event.used);
}
void StreamObserver::on_memory_refused(const MemoryRefused& event) noexcept {
    line("memory ", event.name, ": refused ", event.asked, " bytes: ", event.error);
}
void StreamObserver::on_memory_stalled(const MemoryStalled& event) noexcept {
    line("memory ", event.account, ": ", event.waiting, " waiting, nothing came back for ",
         milliseconds_up_to(event.lasts), "; used ", event.used, " of ", event.limit);
}
void StreamObserver::on_pressure_changed(const PressureChanged& event) noexcept {
    line("memory pressure: ", to_string(event.from), " -> ", to_string(event.to), " at ", event.pressure_percentage,
         " %");
}
void StreamObserver::on_circuit_state_changed(const CircuitStateChanged& event) noexcept {
    line("circuit ", event.breaker, ": ", to_string(event.from), " -> ", to_string(event.to), " (", event.why, ")");
}
void StreamObserver::on_call_rejected(const CallRejected& event) noexcept {
    if (event.retry_after)
        line("circuit ", event.breaker, ": call rejected, next try in ", milliseconds_up_to(*event.retry_after));
    else
        line("circuit ", event.breaker, ": call rejected");
}
void StreamObserver::on_call_refused(const CallRefused& event) noexcept {
    line(event.limiter, ": call refused (", event.why, "): ", event.error);
}
void StreamObserver::on_concurrency_limit_changed(const ConcurrencyLimitChanged& event) noexcept {
    line(event.limiter, ": ", event.from, " -> ", event.to, " calls at once (", event.why, ")");
}
void StreamObserver::on_retry_scheduled(const RetryScheduled& event) noexcept {
    line("retry: attempt ", event.failed_attempts, " failed, next in ", milliseconds_up_to(event.delay), ": ",
         event.error);
}
void StreamObserver::on_retry_given_up(const RetryGivenUp& event) noexcept {
    if (event.elapsed && event.elapsed_longer)
        line("retry: given up after ", event.attempts, " attempts in more than ", whole_milliseconds(*event.elapsed),
             " (", event.why, "): ", event.error);
    else if (event.elapsed)
        line("retry: given up after ", event.attempts, " attempts in ", milliseconds_up_to(*event.elapsed), " (",
             event.why, "): ", event.error);
    else
        line("retry: given up after ", event.attempts, " attempts (", event.why, "): ", event.error);
}
void StreamObserver::on_connect_failed(const ConnectFailed& event) noexcept {
    line("connections ", event.pool, ": connect failed: ", event.error);
}
void StreamObserver::on_connection_leaked(const ConnectionLeaked& event) noexcept {
    line("connections ", event.pool, ": one is not given back for ", milliseconds_up_to(event.lent_for),
         ", borrowed at ", event.borrowed_at.file_name(), ":", event.borrowed_at.line());
}
void StreamObserver::on_dead_letter_stored(const DeadLetterStored& event) noexcept {
    line("dead letter: stored in ", event.topic, ": ", event.error);
}
void StreamObserver::on_dead_letter_delayed(const DeadLetterDelayed& event) noexcept {
    line("dead letter: delivery ", event.failed_deliveries, " to ", event.topic, " failed: ", event.delivery_error);
}
void StreamObserver::on_dead_letter_spooled(const DeadLetterSpooled& event) noexcept {
    line("dead letter: spooled for ", event.topic, ", ", event.waiting, " waiting there: ", event.error);
}
void StreamObserver::on_dead_letter_flood(const DeadLetterFlood& event) noexcept {
    line("dead letters: a flood for ", event.topic, " (", event.why, "), held for ", milliseconds_up_to(event.hold),
         ": ", event.error);
}
void StreamObserver::on_dead_letters_stuck(const DeadLettersStuck& event) noexcept {
    line("dead letters: ", event.waiting, " stuck in the spool for ", event.topic, " after ", event.failed_deliveries,
         " failed deliveries: ", event.delivery_error);
}
void StreamObserver::on_dead_letter_topic_differs(const DeadLetterTopicDiffers& event) noexcept {
    line("dead letters: topic ", event.topic, " has ", event.setting, " ", event.actual, ", not ", event.wanted);
}

} // namespace velostream
