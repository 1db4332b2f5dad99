// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "accounting/figures.hpp"
#include "velostream/base/error.hpp"
#include "velostream/base/result.hpp"

namespace orders {

enum ExitCode { success = 0, failed_run = 1, wrong_options = 2, unreadable_input = 3 };

/// How the program ends, and what was done until then.
struct End {
    ExitCode code = success;
    Figures figures;
};

/// It failed with this error.
End failed(const velostream::Error& error, Figures figures = {});

/// The job ran: a success only if its counts add up, too.
End end_of_run(const velostream::Result<void>& ran, Figures figures);

} // namespace orders
