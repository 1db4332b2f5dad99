// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "figures/rows.hpp"

namespace velostream::bench {

/// The rows for people: measured, floor, ratio, goal, met.
std::string to_table(const std::vector<Row>& rows);

/// The exponents of what was measured at several sizes; empty if nothing was.
std::string to_table(const std::vector<Growth>& growth);

/// The rows for programs: a JSON array, one object a row.
std::string to_json(const std::vector<Row>& rows);

/// 3 digits and the unit that suits: `12.3 ns`, `4.56 us`, `1.20 s`.
std::string time_text(double ns);

} // namespace velostream::bench
