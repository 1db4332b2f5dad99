// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <span>
#include <string_view>
#include <vector>

namespace velostream::bench {

/// One thing that a row promises. Factors and additions compare the row's median with the median of its floor.
struct Promise {
    enum class Figure { wall, cpu, allocations };
    enum class Kind {
        times,    // figure <= limit * floor
        plus,     // figure <= floor + limit (ns)
        rate,     // floor's wall time >= limit * figure
        at_most,  // figure <= limit (ns, or a count)
        at_least, // figure >= limit (ns)
    };

    Figure figure = Figure::wall;
    Kind kind = Kind::times;
    double limit = 1;
};

constexpr Promise wall_times(double factor) {
    return {Promise::Figure::wall, Promise::Kind::times, factor};
}
constexpr Promise cpu_times(double factor) {
    return {Promise::Figure::cpu, Promise::Kind::times, factor};
}
constexpr Promise rate_at_least(double share) {
    return {Promise::Figure::wall, Promise::Kind::rate, share};
}
constexpr Promise no_allocations() {
    return {Promise::Figure::allocations, Promise::Kind::at_most, 0};
}
constexpr Promise cpu_plus(std::chrono::nanoseconds extra) {
    return {Promise::Figure::cpu, Promise::Kind::plus, static_cast<double>(extra.count())};
}
constexpr Promise wall_at_most(std::chrono::nanoseconds limit) {
    return {Promise::Figure::wall, Promise::Kind::at_most, static_cast<double>(limit.count())};
}

constexpr Promise wall_at_least(std::chrono::nanoseconds limit) {
    return {Promise::Figure::wall, Promise::Kind::at_least, static_cast<double>(limit.count())};
}

/// The goal of one row. All promises must hold.
struct Goal {
    static constexpr int any_threads = 0;
    static constexpr int same_threads = 0;

    std::string_view name;
    int threads = any_threads;
    std::string_view floor; // empty where every promise is absolute
    int floor_threads = same_threads;
    std::vector<Promise> promises;

    bool is_about(std::string_view row, int row_threads) const {
        return row == name && (threads == any_threads || threads == row_threads);
    }
    int threads_of_floor(int row_threads) const { return floor_threads == same_threads ? row_threads : floor_threads; }
};

/// Every goal of this project: the one table to change when a goal changes.
std::span<const Goal> project_goals();

} // namespace velostream::bench
