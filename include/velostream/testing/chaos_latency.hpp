// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/testing/chaos.hpp"

namespace velostream::testing {

namespace detail {

// Each is 0 or more, and `most` not below `least`, else this throws.
void check_latencies(Duration least, Duration most);
// From `least` to `most`, both included, evenly.
Duration latency_between(Duration least, Duration most, std::uint64_t random) noexcept;

} // namespace detail

/// Lets some tries wait before they go on, so that the operation seems to take longer.
///
/// ```cpp
/// ChaosLatency slow{{.injection_rate = 0.2, .seed = seed.of("slow")}, 2s, time};
/// ChaosLatency anything{{.injection_rate = 0.2, .seed = seed.of("anything")}, 50ms, 5s, time};
/// Pipeline guarded{retry, each, breaker, slow, anything};
/// ```
///
/// Refuses with: `Errc::deadline_exceeded` at the deadline of the try, if that is not later than the end of the wait:
///               the operation is then not called.
/// Cancellation: all kinds end the wait; leaves nothing behind.
/// Errors:       as `Chaos` says; and if a latency is below 0, or the longest below the shortest.
/// Threads:      safe.
/// Lifetime:     must outlive the calls that it guards.
template <TimeSource Time = SteadyTime>
class ChaosLatency : public Chaos {
  public:
    ChaosLatency(ChaosConfig config, Duration latency, Time time = {})
        : ChaosLatency(std::move(config), latency, latency, std::move(time)) {}
    /// Each waits for a time of its own, from `least` to `most`, which comes from the seed.
    ChaosLatency(ChaosConfig config, Duration least, Duration most, Time time = {})
        : Chaos(std::move(config)), least_(least), most_(most), time_(std::move(time)) {
        detail::check_latencies(least, most);
    }

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// The part in one call.
    class Guard : public Chaos::Guard {
      public:
        explicit Guard(ChaosLatency& chaos) noexcept : chaos_(chaos) {}

        Decision before(CallContext& call) {
            const auto struck = chaos_.strike(call);
            if (!struck) return Decision::proceed();
            latency_ = detail::latency_between(chaos_.least_, chaos_.most_, *struck);
            return Decision::wait();
        }
        asio::awaitable<Decision> wait(CallContext& call) {
            const auto end = saturating_add(chaos_.time_.now(), latency_);
            const auto deadline = call.deadline();
            auto sleep = velostream::detail::sleep_unless_cancelled(velostream::detail::own_frame, chaos_.time_,
                                                                    std::min(end, deadline));
            const bool is_over = co_await std::move(sleep);
            if (!is_over) co_return Decision::refuse(Errc::cancelled);
            co_return end < deadline ? Decision::proceed() : Decision::refuse(Errc::deadline_exceeded);
        }

      private:
        ChaosLatency& chaos_;
        Duration latency_{};
    };

  private:
    const Duration least_, most_;
    const Time time_;
};

} // namespace velostream::testing
