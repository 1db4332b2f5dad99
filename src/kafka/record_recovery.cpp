// SPDX-License-Identifier: Apache-2.0
#include "record_recovery.hpp"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <chrono>
#include <new>
#include <utility>

namespace velostream::kafka::detail {

namespace {

// What `send_to_dlq` answers says what happened to the record; why is inside.
const Error& reason_of(const Error& error) noexcept {
    const bool is_about_dead_letters = error == Errc::record_not_to_blame || error == Errc::dead_letter_lost;
    return is_about_dead_letters && error.inner() != nullptr ? *error.inner() : error;
}

bool admits_calls(CircuitState state) noexcept {
    return !RecoveryRamp::is_shut(state) && state != CircuitState::half_open;
}

} // namespace

void RecordRecovery::on_ended(bool well) noexcept {
    --running_;
    if (well) ramp_.on_success();
}

// A loop that ended with a timeout would repeat the record as well, whatever may have happened before that. What is
// nothing but an unknown outcome is its user's to decide.
bool RecordRecovery::holds(const Error& error) noexcept {
    const auto& reason = reason_of(error);
    return reason != ErrorType::outcome_unknown && reason.passes_with_repetition();
}

Duration RecordRecovery::hold(const Error& error, std::size_t tries) {
    using namespace std::chrono_literals;
    constexpr Duration first_rest = 20ms, longest_rest = 1s;
    const auto& reason = reason_of(error);
    --running_;
    ramp_.on_failure();
    const auto state = circuit_.state();
    if (admits_calls(state)) { // nothing of the circuit's to wait for
        const auto rest = std::min(first_rest * (1 << std::min<std::size_t>(tries, 10)), longest_rest);
        return std::max(rest, reason.retry_after().value_or(rest));
    }
    if (reason == Errc::circuit_open) is_shut_ = true; // half-open it may be, but has no place for us
    return Duration{0};
}

auto RecordRecovery::next(bool all) -> Worker* {
    if (held_.empty() || !(all || has_room())) return nullptr;
    auto* const first = held_.begin()->second;
    held_.erase(held_.begin());
    ++running_;
    return first;
}

bool RecordRecovery::has_room() {
    if (!is_shut_) {
        const auto state = circuit_.state();
        is_shut_ = RecoveryRamp::is_shut(state);
        if (running_ < ramp_.allowed(state)) return true;
    }
    if (is_shut_) watch();
    return false;
}

void RecordRecovery::watch() {
    if (watching_) return;
    auto watching = std::make_shared<asio::cancellation_signal>();
    auto on_end = [this, loop = loop_, watching](boost::system::error_code code) {
        const auto alive = loop.lock(); // and so is this
        if (!alive) return;
        // `stop_watching` may have come too late to stop this one.
        if (!code)
            alive->on_circuit_ready();
        else if (code != asio::error::operation_aborted && watching_ == watching)
            watch_later(); // the breaker's account has no room
    };
    const auto slot = watching->slot();
    watching_ = std::move(watching);
    try {
        circuit_.async_ready(executor_, slot, std::move(on_end));
    } catch (const std::bad_alloc&) {
        watch_later();
    }
}

// The circuit is still taken for shut.
void RecordRecovery::watch_later() {
    watching_.reset();
    if (const auto loop = loop_.lock()) loop->look_again_soon();
}

void RecordRecovery::on_ready() noexcept {
    watching_.reset();
    is_shut_ = false;
}

void RecordRecovery::stop_watching() noexcept {
    if (const auto watching = std::exchange(watching_, nullptr)) watching->emit(asio::cancellation_type::terminal);
}

} // namespace velostream::kafka::detail
