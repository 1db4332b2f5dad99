// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/chaos_latency.hpp"

#include <string>
#include <vector>

#include "velostream/config/validate.hpp"

namespace velostream::testing::detail {

void check_latencies(Duration least, Duration most) {
    std::vector<ConfigProblem> problems;
    const auto text = [](Duration latency) { return std::to_string(latency.count()) + " ns"; };
    if (least < Duration::zero()) problems.push_back({"latency", text(least), "must be >= 0"});
    if (most < least) problems.push_back({"most", text(most), "must be >= the least, " + text(least)});
    throw_if_any(problems);
}

Duration latency_between(Duration least, Duration most, std::uint64_t random) noexcept {
    const auto choices = static_cast<std::uint64_t>((most - least).count()) + 1; // no overflow: both are >= 0
    return least + Duration{static_cast<Duration::rep>(random % choices)};
}

} // namespace velostream::testing::detail
