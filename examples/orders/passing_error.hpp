// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "velostream/base/error.hpp"

namespace orders {

/// Whether waiting can cure it. What is wrong with the record itself, with credentials or with rights it cannot, nor
/// what a component calls fatal.
bool passes_with_time(const velostream::Error& error);

} // namespace orders
