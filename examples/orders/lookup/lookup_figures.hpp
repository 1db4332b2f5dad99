// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "accounting/guard_figures.hpp"
#include "input/decimal.hpp"

namespace orders {

struct SegmentFigure {
    std::string segment;
    std::uint64_t lines;
    Thousandths total;
};

/// What looking up the customers' segments came to.
struct LookupFigures {
    std::string database;      ///< `sqlite` or `postgres`
    std::uint64_t found = 0;   ///< orders whose customer the table has
    std::uint64_t unknown = 0; ///< and those whose it has not
    std::uint64_t connections = 0, connections_opened = 0, failed_connects = 0;
    GuardFigures guard;
    std::vector<SegmentFigure> segments; ///< those with the highest totals; filled at the end
};

} // namespace orders
