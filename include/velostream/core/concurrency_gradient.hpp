// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "velostream/base/error.hpp"
#include "velostream/base/units.hpp"
#include "velostream/config/adaptive_limit_config.hpp"
#include "velostream/core/latency_window.hpp"

namespace velostream {

/// Why a limit of calls that run at once has moved.
enum class LimitMove : std::uint8_t {
    latency_rose,      ///< latency was above what is good
    room_to_grow,      ///< the limit was reached, and latency was good
    calls_dropped,     ///< too many calls were dropped
    measuring_begins,  ///< down to a quarter for one window
    measuring_goes_on, ///< calls waited for each other there, too: down to a quarter of that
    measuring_ends,    ///< back to what it was
};

/// For people: `latency rose`.
std::string_view to_string(LimitMove move) noexcept;

/// Finds out how many calls a service takes at once: windows of latencies in, a limit out.
///
/// The limit goes towards limit × gradient + √limit, where the gradient is what is good (`tolerance` × the latency
/// without load) by what is measured, between a half and 1. So it grows by its root while latency is good, and settles
/// where the queue in the service makes calls about `tolerance` times as long: a little above what Little's law asks
/// for, throughput × latency without load.
///
/// * The latency without load is only taken from windows in which at most a quarter of the limit ran, or which ran at
///   the floor; where there are none such a window is made every now and then. So it does not creep up under a load
///   that stays, and follows a service that has become slower or faster for good.
/// * Where latency falls about as much as the limit, that was far above what the service takes, and the lower limit
///   serves as many calls: it stays, and a quarter of it is measured next. The first measurement of a limit above 64
///   looks at a sixteenth in any case, since latency has not risen yet to what that limit makes of it. So a limit that
///   begins at a thousand before twenty workers is near them after a few windows, not after hundreds.
/// * The limit grows only if it was reached: what the application does not use is not learned.
/// * Every limit begins an epoch, and so does every cut after dropped calls: calls that began before say nothing about
///   it. So the calls that an overload has dropped lower the limit once, not each.
///
/// Threads: one at a time.
class ConcurrencyGradient {
  public:
    using Samples = LatencyWindow<>::Samples;
    using Epoch = LatencyWindow<>::Epoch;

    struct Change {
        std::size_t from, to;
        LimitMove why;
    };

    /// `config` must be legal.
    explicit ConcurrencyGradient(const AdaptiveLimitConfig& config) noexcept;

    /// So many calls at once. Between `min_limit` and `max_limit`, always.
    std::size_t limit() const noexcept { return in_force_; }
    Epoch epoch() const noexcept { return epoch_; }
    /// So many latencies make a window.
    std::uint32_t window() const noexcept;

    /// Judges a window of calls that began in this epoch.
    std::optional<Change> on_window(const Samples& samples) noexcept;
    /// A call that began in this epoch was dropped.
    std::optional<Change> on_drop() noexcept;

    /// As far as known; zero before the first window.
    Duration latency_without_load() const noexcept { return to_duration(baseline_ns_); }
    /// Of the last window; zero before the first.
    Duration recent_latency() const noexcept { return to_duration(recent_ns_); }
    bool is_measuring() const noexcept { return is_measuring_; }

  private:
    static Duration to_duration(double nanoseconds) noexcept;
    bool should_measure() const noexcept;
    bool should_measure_on(bool is_first) noexcept;
    void learn(const Samples& samples) noexcept;
    LimitMove adjust(const Samples& samples) noexcept;
    std::optional<Change> put_in_force(LimitMove why) noexcept;

    const AdaptiveLimitConfig config_;
    const double least_, most_;
    double limit_;           // within least_ and most_
    std::size_t in_force_;   // what follows from it
    double baseline_ns_ = 0; // 0: not known
    double recent_ns_ = 0;
    std::size_t unmeasured_windows_; // since the last one that measured the latency without load
    std::size_t drops_ = 0;          // in this window
    Epoch epoch_ = 0;
    bool is_measuring_ = false;
    bool has_measured_ = false; // ever

    // While it measures: by what the limit is divided, and what was seen one step before.
    std::size_t share_ = 1;
    struct Step {
        double limit = 0, latency_ns = 0;
    } before_;
};

/// Whether an error says that the service, or the way to it, has too much to do: a timeout, a connection that broke,
/// `service_unavailable`, an unknown outcome, or a limit of the service's own. A limit of ours, such as an open circuit
/// or a full pool, does not, nor does a request that is wrong, nor a cancellation.
bool is_overload(const Error& error) noexcept;

} // namespace velostream
