// SPDX-License-Identifier: Apache-2.0
#include "figures/selection.hpp"

#include <array>
#include <stdexcept>
#include <utility>

namespace velostream::bench {

namespace {

constexpr std::array<std::string_view, 2> long_folders{"spill_long", "growth_long"};

std::string_view folder_of(std::string_view name) {
    return name.substr(0, name.find('/'));
}

} // namespace

Filter::Filter(std::string regex) : text_(std::move(regex)) {
    try {
        regex_ = std::regex{text_};
    } catch (const std::regex_error&) {
        throw std::invalid_argument{"'" + text_ + "' is not a regular expression"};
    }
}

bool Filter::wants(std::string_view name) const {
    for (const auto folder : long_folders)
        if (folder_of(name) == folder && text_.find(folder) == std::string::npos) return false;
    return text_.empty() || std::regex_search(name.begin(), name.end(), regex_);
}

std::set<std::string> names_to_run(const std::vector<std::string>& available, const Filter& filter,
                                   std::span<const Goal> goals) {
    std::set<std::string> names;
    for (const auto& name : available) {
        if (!filter.wants(name)) continue;
        names.insert(name);
        for (const auto& goal : goals)
            if (goal.name == name && !goal.floor.empty()) names.emplace(goal.floor);
    }
    return names;
}

} // namespace velostream::bench
