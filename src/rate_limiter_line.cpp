// SPDX-License-Identifier: Apache-2.0
#include "velostream/rate_limiter_line.hpp"

#include <chrono>
#include <string>

namespace velostream::detail {

namespace {

// In the largest unit that it is a whole number of.
std::string in_words(Duration duration) {
    using namespace std::chrono_literals;
    if (duration % 1s == 0s) return std::to_string(duration / 1s) + " s";
    if (duration % 1ms == 0s) return std::to_string(duration / 1ms) + " ms";
    if (duration % 1us == 0s) return std::to_string(duration / 1us) + " us";
    return std::to_string(duration.count()) + " ns";
}

} // namespace

Error::SharedText why_rate_limited(const Rate& rate, std::size_t max_waiting) {
    return Error::SharedText{"permits " + std::to_string(rate.permits) + " in " + in_words(rate.period) + ", burst " +
                             std::to_string(rate.effective_burst()) + ", max_waiting " + std::to_string(max_waiting)};
}

} // namespace velostream::detail
