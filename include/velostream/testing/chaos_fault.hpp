// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "velostream/async/policy.hpp"
#include "velostream/testing/chaos.hpp"

namespace velostream::testing {

/// Lets some tries fail, before they reach the operation.
///
/// ```cpp
/// ChaosFault refused{{.injection_rate = 0.05, .seed = seed.of("refused")}, asio::error::connection_refused};
/// ChaosFault busy{{.injection_rate = 0.01}, [](const CallContext&) { return Error{Errc::send_timeout}; }};
/// Pipeline guarded{retry, breaker, refused, busy};
/// ```
///
/// Errors, threads, lifetime: as `Chaos` says.
class ChaosFault : public Chaos {
  public:
    /// They fail with `error`.
    ChaosFault(ChaosConfig config, Error error) : ChaosFault(std::move(config), always(std::move(error))) {}
    /// They fail with what `fault` returns for the try, or with what it throws, as an operation would.
    ChaosFault(ChaosConfig config, std::function<Error(const CallContext&)> fault)
        : Chaos(std::move(config)), fault_(std::move(fault)) {}

    /// The part in one call.
    class Guard : public Chaos::Guard {
      public:
        explicit Guard(ChaosFault& chaos) noexcept : chaos_(chaos) {}

        Decision before(CallContext& call) {
            if (chaos_.strike(call)) return Decision::refuse(chaos_.fault_(std::as_const(call)));
            return Decision::proceed();
        }

      private:
        ChaosFault& chaos_;
    };

  private:
    static std::function<Error(const CallContext&)> always(Error error) {
        return [error = std::move(error)](const CallContext&) { return error; };
    }

    const std::function<Error(const CallContext&)> fault_;
};

} // namespace velostream::testing
