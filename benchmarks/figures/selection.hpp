// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <regex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "figures/goals.hpp"

namespace velostream::bench {

/// Which benchmarks the user wants.
class Filter {
  public:
    /// Everything but the long ones.
    Filter() = default;

    /// The benchmarks in whose name `regex` (ECMAScript) is found. Throws `std::invalid_argument` if it is not one.
    explicit Filter(std::string regex);

    /// A long one (`spill_long/`, `growth_long/`) is wanted only if the filter spells its folder.
    bool wants(std::string_view name) const;

  private:
    std::string text_;
    std::regex regex_;
};

/// The names among `available` to run: those that the filter wants, and what their goals compare them with.
std::set<std::string> names_to_run(const std::vector<std::string>& available, const Filter& filter,
                                   std::span<const Goal> goals);

} // namespace velostream::bench
