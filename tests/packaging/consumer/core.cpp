// SPDX-License-Identifier: Apache-2.0
// Uses headers and compiled code of velostream::core, and prints the version for the test to compare.
#include <iostream>
#include <velostream/config/presets.hpp>
#include <velostream/config/validate.hpp>
#include <velostream/version.hpp>

int main() {
    const velostream::StreamingConfig config = velostream::presets::production();
    if (!velostream::validate(config).empty() || !velostream::version_matches_headers()) return 1;
    std::cout << velostream::version() << '\n';
}
