// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tools/dlq/options.hpp"
#include "tools/dlq/redrive.hpp"

namespace velostream::dlq {

/// What `redrive` prints, for people: what was done, and of what nothing was done, only where there was any.
std::string redrive_text(const RedriveFigures& figures, const Options& options);
/// The same for programs: one JSON object, with an end of line.
std::string redrive_json(const RedriveFigures& figures, const Options& options);

} // namespace velostream::dlq
