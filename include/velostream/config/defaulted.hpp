// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace velostream {

/// A config value that knows whether the user chose it, for defaults that depend on other fields.
/// It reads, prints and compares as the value.
template <class T>
class Defaulted {
  public:
    constexpr explicit(false) Defaulted(T chosen) noexcept : value_(chosen), chosen_(true) {}

    static constexpr Defaulted by_default(T value) noexcept {
        Defaulted result{value};
        result.chosen_ = false;
        return result;
    }

    constexpr explicit(false) operator T() const noexcept { return value_; }
    constexpr bool is_chosen() const noexcept { return chosen_; }
    /// The value if the user chose one, else `fallback`.
    constexpr T value_or(T fallback) const noexcept { return chosen_ ? value_ : fallback; }

  private:
    T value_;
    bool chosen_;
};

} // namespace velostream
