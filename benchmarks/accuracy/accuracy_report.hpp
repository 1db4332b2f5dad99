// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "accuracy/trial.hpp"
#include "accuracy/window_error.hpp"

namespace velostream::bench {

/// One window, recorded into by more and more threads.
struct WindowResult {
    std::string name;
    std::vector<WindowErrors> by_recorders;
};

/// One trace under all contenders, in their order.
struct TraceResult {
    Trace trace;
    std::vector<Trial> trials;
};

/// For people.
std::string to_table(const std::vector<WindowResult>& windows);
std::string to_table(const std::vector<OpeningErrors>& openings);
std::string to_table(const std::vector<TraceResult>& results, const std::vector<Contender>& contenders);

/// By how much each window is off, in bars, as an SVG file.
std::string to_figure(const std::vector<WindowResult>& windows);

/// When each circuit was open beside when it should have been, as an SVG file.
std::string to_figure(const std::vector<TraceResult>& results, const std::vector<Contender>& contenders);

} // namespace velostream::bench
