// SPDX-License-Identifier: Apache-2.0
#include "support/suite.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace velostream::bench {

void Suite::add(std::string name, Function function, Measure measure) {
    check_is_new(name);
    benchmarks_.push_back({std::move(name), std::move(function), std::move(measure)});
}

void Suite::leave_out(std::string name, std::string reason) {
    check_is_new(name);
    left_out_.push_back({std::move(name), std::move(reason)});
}

// Names become regular expressions for Google Benchmark, so they are kept to what means itself there.
void Suite::check_is_new(std::string_view name) const {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyz0123456789_/";
    if (name.empty() || name.find_first_not_of(allowed) != std::string_view::npos)
        throw std::logic_error{"benchmark names are made of a-z, 0-9, _ and /: " + std::string{name}};
    if (std::ranges::count(benchmarks_, name, &Benchmark::name) + std::ranges::count(left_out_, name, &LeftOut::name) >
        0)
        throw std::logic_error{"two benchmarks of one program have the name " + std::string{name}};
}

void report_instead(benchmark::State& state, double wall_ns, double cpu_ns) {
    state.counters["wall_ns"] = wall_ns;
    state.counters["cpu_ns"] = cpu_ns;
    state.counters["allocations"] = 0;
}

} // namespace velostream::bench
