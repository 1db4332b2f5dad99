// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace velostream::bench {

/// A trial that is long, and of which several rows show a figure each. It is run again when a row asks that has seen
/// the last one.
template <class Figures>
class SharedTrial {
  public:
    explicit SharedTrial(std::function<Figures()> trial) : trial_(std::move(trial)) {}

    const Figures& for_row(const std::string& name) {
        if (!figures_ || !seen_by_.insert(name).second) {
            figures_ = trial_();
            seen_by_ = {name};
        }
        return *figures_;
    }

  private:
    const std::function<Figures()> trial_;
    std::optional<Figures> figures_;
    std::set<std::string> seen_by_;
};

} // namespace velostream::bench
