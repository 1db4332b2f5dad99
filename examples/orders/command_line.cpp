// SPDX-License-Identifier: Apache-2.0
#include "command_line.hpp"

#include <algorithm>
#include <optional>

namespace orders {

namespace {

const CommandOption* find(const std::vector<CommandOption>& options, std::string_view name) {
    const auto found = std::ranges::find(options, name, &CommandOption::name);
    return found == options.end() ? nullptr : &*found;
}

std::string rule_of(const CommandOption& option) {
    return option.legal.empty() ? option.value : option.legal;
}

} // namespace

CommandLine read_command_line(std::span<const char* const> arguments, const std::vector<CommandOption>& options) {
    CommandLine line;
    const auto is_help = [](std::string_view argument) { return argument == "-h" || argument == "--help"; };
    line.wants_help = std::ranges::any_of(arguments, is_help);
    if (line.wants_help) return line;

    for (std::size_t at = 0; at < arguments.size(); ++at) {
        const std::string_view argument = arguments[at];
        const auto equals = argument.find('=');
        const std::string name{argument.substr(0, equals)};
        const auto* const option = find(options, name);
        const auto wrong = [&line](std::string problem) {
            line.problem = std::move(problem);
            return line;
        };
        if (!option) return wrong(std::string{argument} + ": no such option");
        if (!line.given.insert(name).second) return wrong(name + ": given more than once");

        std::optional<std::string_view> value;
        if (equals != std::string_view::npos) value = argument.substr(equals + 1);
        if (option->value.empty()) {
            if (value) return wrong(std::string{argument} + ": " + name + " takes no value");
            option->take({});
            continue;
        }
        const bool has_next = at + 1 < arguments.size() && !std::string_view{arguments[at + 1]}.starts_with("--");
        if (!value && has_next) value = arguments[++at];
        if (!value || value->empty()) return wrong(name + ": needs a value, " + rule_of(*option));
        if (!option->take(*value)) return wrong(name + ' ' + std::string{*value} + ": must be " + rule_of(*option));
    }
    return line;
}

std::string help_for(const std::vector<CommandOption>& options) {
    constexpr std::size_t column = 26;
    std::string text;
    for (const auto& option : options) {
        auto left = "  " + option.name + (option.value.empty() ? "" : " " + option.value);
        left.resize(std::max(column, left.size() + 2), ' ');
        text += left + option.help + '\n';
        if (!option.legal.empty()) text += std::string(column, ' ') + option.legal + '\n';
    }
    return text;
}

} // namespace orders
