// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <utility>

#include "velostream/async/policy.hpp"
#include "velostream/testing/chaos.hpp"

namespace velostream::testing {

/// Lets some tries come to a result that is not the operation's: an empty list, a price of yesterday.
///
/// ```cpp
/// ChaosResult nothing_found{{.injection_rate = 0.1, .seed = seed.of("nothing")}, [] { return Rows{}; }};
/// Pipeline guarded{retry, breaker, nothing_found};
/// ```
///
/// `function()` returns the value of the call, or a `Result` of it. For the policies around it is what the operation
/// returned: a value is a success. What it throws is an error of the try.
///
/// Errors, threads, lifetime: as `Chaos` says.
template <class Function>
class ChaosResult : public Chaos {
  public:
    ChaosResult(ChaosConfig config, Function function) : Chaos(std::move(config)), function_(std::move(function)) {}

    /// The part in one call.
    class Guard : public Chaos::Guard {
      public:
        explicit Guard(ChaosResult& chaos) noexcept : chaos_(chaos) {}

        Decision before(CallContext& call) { return chaos_.strike(call) ? Decision::answer() : Decision::proceed(); }
        template <class Success>
        Success answer(CallContext&) {
            using Returned = std::invoke_result_t<Function&>;
            if constexpr (std::is_void_v<Returned>) {
                chaos_.function_();
                return Success{};
            } else {
                static_assert(std::is_constructible_v<Success, Returned>,
                              "the function of a ChaosResult must return what the call returns");
                return Success(chaos_.function_());
            }
        }

      private:
        ChaosResult& chaos_;
    };

  private:
    Function function_;
};

} // namespace velostream::testing
