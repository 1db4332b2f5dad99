// SPDX-License-Identifier: Apache-2.0
// Uses velostream::testing, which brings velostream::core along, and prints the version for the test to compare.
#include <iostream>
#include <velostream/testing/manual_time.hpp>
#include <velostream/version.hpp>

int main() {
    velostream::testing::ManualTime time;
    const auto before = time.now();
    time.advance(std::chrono::seconds{60});
    if (time.now() - before != std::chrono::seconds{60}) return 1;
    std::cout << velostream::version() << '\n';
}
