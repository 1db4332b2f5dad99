// SPDX-License-Identifier: Apache-2.0
#include "figures/samples.hpp"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace velostream::bench {

using nlohmann::json;

std::string to_json(const ProgramResult& result) {
    auto samples = json::array();
    for (const auto& row : result.samples) {
        samples.push_back({{"name", row.name},
                           {"threads", row.threads},
                           {"wall_ns", row.wall_ns},
                           {"cpu_ns", row.cpu_ns},
                           {"allocations", row.allocations},
                           {"remark", row.remark}});
    }
    auto left_out = json::array();
    for (const auto& row : result.left_out) left_out.push_back({{"name", row.name}, {"reason", row.reason}});
    return json{{"program", result.program},
                {"load_before", result.load_before},
                {"load_after", result.load_after},
                {"samples", samples},
                {"left_out", left_out}}
        .dump();
}

ProgramResult program_result_from_json(std::string_view text) try {
    const auto document = json::parse(text);
    ProgramResult result{.program = document.at("program"),
                         .load_before = document.at("load_before"),
                         .load_after = document.at("load_after"),
                         .samples = {},
                         .left_out = {}};
    for (const auto& row : document.at("samples")) {
        Samples samples{.name = row.at("name"),
                        .threads = row.at("threads"),
                        .wall_ns = row.at("wall_ns"),
                        .cpu_ns = row.at("cpu_ns"),
                        .allocations = row.at("allocations"),
                        .remark = row.at("remark")};
        if (samples.wall_ns.empty() || samples.cpu_ns.empty() || samples.allocations.empty())
            throw std::runtime_error{samples.name + " has no samples"};
        result.samples.push_back(std::move(samples));
    }
    for (const auto& row : document.at("left_out"))
        result.left_out.push_back({.name = row.at("name"), .reason = row.at("reason")});
    return result;
} catch (const json::exception& error) {
    throw std::runtime_error{std::string{"not the result of a benchmark program: "} + error.what()};
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    const auto upper = values.size() / 2;
    return values.size() % 2 == 1 ? values[upper] : (values[upper - 1] + values[upper]) / 2;
}

} // namespace velostream::bench
