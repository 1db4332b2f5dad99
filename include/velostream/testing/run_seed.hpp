// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string_view>

namespace velostream::testing {

/// The one number from which everything random in a test comes: who knows it can repeat the run.
///
/// ```cpp
/// const auto seed = RunSeed::from_environment();
/// SCOPED_TRACE(seed); // GoogleTest: every failure from here on says how to repeat it
/// ChaosFault refused{{.injection_rate = 0.05, .seed = seed.of("refused")}, asio::error::connection_refused};
/// ```
class RunSeed {
  public:
    /// The environment variable that `from_environment` reads.
    static constexpr const char* variable = "VELOSTREAM_SEED";

    constexpr explicit RunSeed(std::uint64_t value) noexcept : value_(value) {}

    /// What the environment variable `VELOSTREAM_SEED` says: a number, or `random` for another one each time. Without
    /// it `otherwise`, so that a test does the same every day.
    ///
    /// Errors: throws `std::invalid_argument` if it says anything else.
    static RunSeed from_environment(std::uint64_t otherwise = 1);

    constexpr std::uint64_t value() const noexcept { return value_; }

    /// A seed for one part of the run: each name has its own, which depends on nothing but name and value.
    std::uint64_t of(std::string_view name) const noexcept;

    friend constexpr bool operator==(RunSeed, RunSeed) noexcept = default;

  private:
    std::uint64_t value_;
};

/// `seed 42 (to repeat: VELOSTREAM_SEED=42)`
std::ostream& operator<<(std::ostream& out, RunSeed seed);

} // namespace velostream::testing
