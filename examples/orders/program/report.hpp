// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "accounting/figures.hpp"

namespace orders {

/// The report with its stable keys, and `error` if the run failed.
std::string report_json(const Figures& figures);

/// The summary for people.
std::string summary(const Figures& figures);

/// `1234567` as `1 234 567`.
std::string grouped(std::uint64_t number);

double mebibytes(std::uint64_t bytes);

} // namespace orders
