// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "velostream/async/guarded_call.hpp"
#include "velostream/testing/chaos.hpp"

namespace velostream::testing {

/// Lets some tries hang: they come to nothing until somebody ends them. A pipeline that bounds no try, by a `Timeout`,
/// an `attempt_timeout` or a deadline of the call, never sees the end of these.
///
/// ```cpp
/// ChaosHang hang{{.injection_rate = 0.01, .seed = seed.of("hang")}, time};
/// Pipeline guarded{retry, each, breaker, hang};
/// ```
///
/// Refuses with: `Errc::deadline_exceeded` at the deadline of the try.
/// Cancellation: all kinds end it; leaves nothing behind.
/// Errors:       as `Chaos` says.
/// Threads:      safe.
/// Lifetime:     must outlive the calls that it guards.
template <TimeSource Time = SteadyTime>
class ChaosHang : public Chaos {
  public:
    explicit ChaosHang(ChaosConfig config, Time time = {}) : Chaos(std::move(config)), time_(std::move(time)) {}

    /// For pipelines.
    const Time& time() const noexcept { return time_; }

    /// The part in one call.
    class Guard : public Chaos::Guard {
      public:
        explicit Guard(ChaosHang& chaos) noexcept : chaos_(chaos) {}

        Decision before(CallContext& call) { return chaos_.strike(call) ? Decision::wait() : Decision::proceed(); }
        asio::awaitable<Decision> wait(CallContext& call) {
            auto sleep = velostream::detail::sleep_unless_cancelled(velostream::detail::own_frame, chaos_.time_,
                                                                    call.deadline());
            const bool is_over = co_await std::move(sleep);
            co_return Decision::refuse(is_over ? Errc::deadline_exceeded : Errc::cancelled);
        }

      private:
        ChaosHang& chaos_;
    };

  private:
    const Time time_;
};

} // namespace velostream::testing
