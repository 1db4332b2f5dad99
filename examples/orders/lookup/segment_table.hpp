// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "velostream/base/result.hpp"

namespace orders {

/// Where the segments are: a table `customer_segments (customer TEXT PRIMARY KEY, segment TEXT NOT NULL)`.
inline constexpr auto look_up_sql = "SELECT segment FROM customer_segments WHERE customer = $1";
inline constexpr auto create_table_sql =
    "CREATE TABLE customer_segments (customer TEXT PRIMARY KEY, segment TEXT NOT NULL)";

/// One statement that puts the customers of a CSV file into an empty table: a header line, then a customer and his
/// segment in each, as in `data/customer_segments.csv.zst`.
///
/// Errors: `InputErrc::unreadable`, also for a file that is not of this form.
velostream::Result<std::string> fill_table_sql(const std::string& path);

} // namespace orders
