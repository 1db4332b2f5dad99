// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/concurrency_gradient.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "velostream/base/errc.hpp"

namespace velostream {

namespace {

constexpr double lowest_gradient = 0.5;
// A window has about as many calls as run at once, or more where that says too little; but at a low limit, where calls
// come slowly, not so many that the limit could not follow.
constexpr std::size_t most_needed = 1000;
constexpr std::size_t calls_a_place = 10;
constexpr std::size_t hasty_share = 5; // of `remeasure_every`
constexpr double far_above_good = 2;
constexpr std::size_t measuring_share = 4; // as in `Crowding::quiet`
constexpr std::size_t few_at_once = 16;    // who hardly wait for each other, whatever the service is
constexpr double about_as_much = 1.15;

} // namespace

std::string_view to_string(LimitMove move) noexcept {
    switch (move) {
        case LimitMove::latency_rose:
            return "latency rose";
        case LimitMove::room_to_grow:
            return "room to grow";
        case LimitMove::calls_dropped:
            return "calls dropped";
        case LimitMove::measuring_begins:
            return "measuring begins";
        case LimitMove::measuring_goes_on:
            return "measuring goes on";
        case LimitMove::measuring_ends:
            return "measuring ends";
    }
    return "unknown";
}

ConcurrencyGradient::ConcurrencyGradient(const AdaptiveLimitConfig& config) noexcept
    : config_(config),
      least_(static_cast<double>(config.min_limit)),
      most_(static_cast<double>(config.max_limit)),
      limit_(static_cast<double>(config.initial_limit)),
      in_force_(config.initial_limit),
      unmeasured_windows_(config.remeasure_every) {} // after the first window, unless that measured it

std::uint32_t ConcurrencyGradient::window() const noexcept {
    const auto enough = std::min(config_.window, in_force_ * calls_a_place);
    return static_cast<std::uint32_t>(std::max(enough, std::min(in_force_, most_needed)));
}

std::optional<ConcurrencyGradient::Change> ConcurrencyGradient::on_window(const Samples& samples) noexcept {
    drops_ = 0;
    if (samples.count == 0) return std::nullopt;
    const bool is_first = !has_measured_;
    learn(samples);
    if (is_measuring_) {
        if (should_measure_on(is_first)) return put_in_force(LimitMove::measuring_goes_on);
        is_measuring_ = false;
        return put_in_force(LimitMove::measuring_ends);
    }
    if (samples.crowding == Crowding::quiet) return std::nullopt; // a service that nobody waits for says nothing
    const auto why = adjust(samples);
    if (!should_measure()) return put_in_force(why);
    is_measuring_ = true;
    share_ = measuring_share;
    before_ = {static_cast<double>(in_force_), recent_ns_};
    return put_in_force(LimitMove::measuring_begins);
}

std::optional<ConcurrencyGradient::Change> ConcurrencyGradient::on_drop() noexcept {
    const auto tolerated =
        config_.tolerated_drop_rate * static_cast<double>(std::max<std::size_t>(window(), config_.window));
    if (static_cast<double>(++drops_) <= tolerated) return std::nullopt;
    drops_ = 0;
    const auto lowered = std::min(limit_ * config_.drop_backoff, std::floor(limit_) - 1);
    limit_ = std::max(least_, lowered);
    const auto change = put_in_force(LimitMove::calls_dropped);
    if (!change) epoch_ = LatencyWindow<>::after(epoch_);
    return change;
}

void ConcurrencyGradient::learn(const Samples& samples) noexcept {
    recent_ns_ = samples.mean_ns;
    const bool measures = is_measuring_ || samples.crowding == Crowding::quiet || in_force_ <= config_.min_limit;
    if (measures) has_measured_ = true;
    if (measures || baseline_ns_ == 0) {
        baseline_ns_ = recent_ns_;
        if (measures) unmeasured_windows_ = 0;
        return;
    }
    // A load cannot make calls shorter. Smoothed, since the shortest of many windows is an accident.
    if (recent_ns_ < baseline_ns_) baseline_ns_ += config_.smoothing * (recent_ns_ - baseline_ns_);
    if (unmeasured_windows_ < config_.remeasure_every) ++unmeasured_windows_;
}

LimitMove ConcurrencyGradient::adjust(const Samples& samples) noexcept {
    const auto good = config_.tolerance * baseline_ns_;
    const auto gradient = good >= recent_ns_ ? 1 : std::max(lowest_gradient, good / recent_ns_);
    auto target = limit_ * gradient + std::sqrt(limit_);
    if (samples.crowding != Crowding::full) target = std::min(target, limit_);
    const auto why = target < limit_ ? LimitMove::latency_rose : LimitMove::room_to_grow;
    limit_ = std::clamp(limit_ + config_.smoothing * (target - limit_), least_, most_);
    return why;
}

bool ConcurrencyGradient::should_measure() const noexcept {
    if (unmeasured_windows_ >= config_.remeasure_every) return true;
    return unmeasured_windows_ >= config_.remeasure_every / hasty_share &&
           recent_ns_ > far_above_good * config_.tolerance * baseline_ns_;
}

// Whether calls waited for each other in the window that has just measured, or may have done so.
bool ConcurrencyGradient::should_measure_on(bool is_first) noexcept {
    const Step now{static_cast<double>(in_force_), recent_ns_};
    const auto before = std::exchange(before_, now);
    const bool fell = now.latency_ns * before.limit <= about_as_much * before.latency_ns * now.limit;
    if (fell && now.limit < before.limit) {
        limit_ = std::max(least_, now.limit); // a higher one made calls wait, and no more of them end
        share_ = measuring_share;
    } else if (is_first && in_force_ > few_at_once) {
        share_ *= measuring_share;
    } else {
        return false;
    }
    return in_force_ > config_.min_limit;
}

std::optional<ConcurrencyGradient::Change> ConcurrencyGradient::put_in_force(LimitMove why) noexcept {
    const auto whole = static_cast<std::size_t>(limit_);
    const auto next = is_measuring_ ? std::max(config_.min_limit, whole / share_) : whole;
    if (next == in_force_) return std::nullopt;
    const Change change{.from = in_force_, .to = next, .why = why};
    in_force_ = next;
    epoch_ = LatencyWindow<>::after(epoch_);
    return change;
}

Duration ConcurrencyGradient::to_duration(double nanoseconds) noexcept {
    constexpr auto longest = static_cast<double>(Duration::max().count()); // 2⁶³, rounded up
    return nanoseconds < longest ? Duration{static_cast<Duration::rep>(nanoseconds)} : Duration::max();
}

bool is_overload(const Error& error) noexcept {
    if (error == Errc::retries_exhausted && error.inner() != nullptr) return is_overload(*error.inner());
    switch (error.type()) {
        case ErrorType::network:
        case ErrorType::timeout:
        case ErrorType::service_unavailable:
        case ErrorType::outcome_unknown:
            return true;
        case ErrorType::resource_exhausted:
            return error.code().category() != velostream_category();
        default:
            return false;
    }
}

} // namespace velostream
