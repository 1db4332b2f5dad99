// SPDX-License-Identifier: Apache-2.0
// Uses velostream::spdlog, whose formatters bring fmt along, and prints the version for the test to compare.
#include <fmt/format.h>
#include <iostream>
#include <velostream/logging/format.hpp>
#include <velostream/logging/spdlog_observer.hpp>
#include <velostream/version.hpp>

int main() {
    const velostream::StreamingConfig config{.log_retry_attempts = true};
    if (!velostream::LogSelection::from(config).retry_attempts) return 1;
    if (fmt::format("{}", velostream::ErrorType::network) != "network") return 1;
    std::cout << velostream::version() << '\n';
}
