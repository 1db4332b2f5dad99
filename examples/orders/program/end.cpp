// SPDX-License-Identifier: Apache-2.0
#include "program/end.hpp"

#include <utility>

#include "input/input_error.hpp"

namespace orders {

End failed(const velostream::Error& error, Figures figures) {
    figures.error = error.message();
    return {error == InputErrc::unreadable ? unreadable_input : failed_run, std::move(figures)};
}

End end_of_run(const velostream::Result<void>& ran, Figures figures) {
    if (!ran) return failed(ran.error(), std::move(figures));
    for (const auto& each : figures.discrepancies())
        figures.error += (figures.error.empty() ? "the counts do not add up: " : "; ") + each;
    return {figures.error.empty() ? success : failed_run, std::move(figures)};
}

} // namespace orders
