// SPDX-License-Identifier: Apache-2.0
#include "figures/rows.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>

namespace velostream::bench {

namespace {

double to_thousandths(double value) {
    return std::round(value * 1000) / 1000;
}

Row row_without_goal(const Samples& samples) {
    const auto [min, max] = std::ranges::minmax(samples.wall_ns);
    return {.name = samples.name,
            .threads = samples.threads,
            .median_ns = median(samples.wall_ns),
            .min_ns = min,
            .max_ns = max,
            .cpu_ns = median(samples.cpu_ns),
            .allocs_per_op = to_thousandths(median(samples.allocations))};
}

struct Verdict {
    bool met = true;
    double ratio = 0;
    double goal = 1;
    double floor_ns = 0;
    std::string_view judged_by;

    double severity() const { return ratio / goal; }
};

/// `floor` is null only for a promise that is absolute.
Verdict judge(const Promise& promise, const Row& row, const Row* floor) {
    const bool cpu = promise.figure == Promise::Figure::cpu;
    const auto figure_of = [cpu](const Row& of) { return cpu ? of.cpu_ns : of.median_ns; };
    const double measured = figure_of(row);
    const double base = floor ? figure_of(*floor) : 0;
    const std::string_view figure_name = cpu ? "cpu" : "wall";

    switch (promise.kind) {
        case Promise::Kind::times:
            return {measured <= promise.limit * base, measured / base, promise.limit, base, figure_name};
        case Promise::Kind::plus:
            return {measured - base <= promise.limit, (measured - base) / promise.limit, 1, base, figure_name};
        case Promise::Kind::rate:
            return {base >= promise.limit * measured, promise.limit * measured / base, 1, base, "rate"};
        case Promise::Kind::at_least:
            return {measured >= promise.limit, promise.limit / measured, 1, promise.limit, figure_name};
        case Promise::Kind::at_most:
            break;
    }
    return {measured <= promise.limit, measured / promise.limit, 1, promise.limit, figure_name};
}

void judge(Row& row, const Goal& goal, const Row* floor) {
    std::optional<Verdict> worst;
    for (const auto& promise : goal.promises) {
        if (promise.figure == Promise::Figure::allocations) { // no ratio: the usual limit is nothing at all
            row.met = row.met && row.allocs_per_op <= promise.limit;
            continue;
        }
        const auto verdict = judge(promise, row, floor);
        row.met = row.met && verdict.met;
        if (!worst || verdict.severity() > worst->severity()) worst = verdict;
    }
    if (!goal.floor.empty()) row.floor = goal.floor;
    if (worst) {
        row.ratio = worst->ratio;
        row.goal = worst->goal;
        row.floor_ns = worst->floor_ns;
        row.judged_by = worst->judged_by;
        if (!row.met && worst->severity() <= 1) row.judged_by += ", allocations";
    }
}

using Key = std::pair<std::string, int>;

void append(std::vector<double>& to, const std::vector<double>& more) {
    to.insert(to.end(), more.begin(), more.end());
}

void merge(Samples& into, const Samples& more) {
    append(into.wall_ns, more.wall_ns);
    append(into.cpu_ns, more.cpu_ns);
    append(into.allocations, more.allocations);
}

} // namespace

std::vector<Row> make_rows(const std::vector<ProgramResult>& results, std::span<const Goal> goals) {
    std::vector<Row> rows;
    std::map<Key, Samples> all; // samples of every program
    std::map<Key, std::size_t> place_in_rows;

    for (const auto& result : results) {
        std::map<Key, Row> own;
        for (const auto& samples : result.samples)
            own.emplace(Key{samples.name, samples.threads}, row_without_goal(samples));

        for (const auto& samples : result.samples) {
            const Key key{samples.name, samples.threads};
            auto row = own.at(key);
            for (const auto& goal : goals) {
                if (!goal.is_about(row.name, row.threads)) continue;
                const auto floor = own.find(Key{std::string{goal.floor}, goal.threads_of_floor(row.threads)});
                if (!goal.floor.empty() && floor == own.end()) {
                    throw std::runtime_error{result.program + " measured " + row.name + " without " +
                                             std::string{goal.floor} + " at " +
                                             std::to_string(goal.threads_of_floor(row.threads)) + " thread(s)"};
                }
                judge(row, goal, goal.floor.empty() ? nullptr : &floor->second);
            }
            if (const auto [entry, is_new] = all.emplace(key, samples); is_new) {
                place_in_rows.emplace(key, rows.size());
                rows.push_back(std::move(row));
            } else {
                merge(entry->second, samples);
                auto& shown = rows[place_in_rows.at(key)];
                if (!shown.goal) shown = row_without_goal(entry->second);
            }
        }
    }
    return rows;
}

std::vector<Growth> growth_of(const std::vector<Row>& rows) {
    std::map<std::string, std::vector<std::pair<double, double>>> points; // what -> (n, cost)
    for (const auto& row : rows) {
        const auto last = row.name.rfind('/');
        if (!row.name.starts_with("growth") || last == std::string::npos || row.threads != 1) continue;
        double size = 0;
        const auto* const begin = row.name.data() + last + 1;
        const auto* const end = row.name.data() + row.name.size();
        if (std::from_chars(begin, end, size).ptr == end && size > 0)
            points[row.name.substr(0, last)].emplace_back(size, row.median_ns);
    }

    std::vector<Growth> growth;
    for (const auto& [what, measured] : points) {
        double mean_x = 0;
        double mean_y = 0;
        for (const auto& [size, cost] : measured) {
            mean_x += std::log(size) / static_cast<double>(measured.size());
            mean_y += std::log(cost) / static_cast<double>(measured.size());
        }
        double slope_over = 0;
        double slope_under = 0;
        for (const auto& [size, cost] : measured) {
            slope_over += (std::log(size) - mean_x) * (std::log(cost) - mean_y);
            slope_under += (std::log(size) - mean_x) * (std::log(size) - mean_x);
        }
        if (slope_under == 0) continue; // one size only
        const auto [from, to] = std::ranges::minmax(measured);
        growth.push_back({what, from.first, to.first, slope_over / slope_under});
    }
    return growth;
}

} // namespace velostream::bench
