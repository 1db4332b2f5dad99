// SPDX-License-Identifier: Apache-2.0
// Uses velostream::postgres, behind which libpq stands, and prints the version for the test to compare.
#include <iostream>
#include <velostream/postgres/connections.hpp>
#include <velostream/version.hpp>

int main() {
    const velostream::postgres::Connections connections{"host=localhost dbname=shop"};
    std::cout << velostream::version() << '\n';
}
