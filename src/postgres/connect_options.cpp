// SPDX-License-Identifier: Apache-2.0
#include "connect_options.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <ranges>
#include <utility>

namespace velostream::postgres {

namespace {

struct FreeOptions {
    void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
using OptionList = std::unique_ptr<PQconninfoOption, FreeOptions>;

Options values_in(const PQconninfoOption* list) {
    Options values;
    for (const auto* option = list; option && option->keyword; ++option)
        if (option->val) values.emplace(option->keyword, option->val);
    return values;
}

// libpq's words about a string, without what they quote of it: that may be a part of the password.
std::string without_quotations(std::string_view words) {
    std::string text;
    bool is_quoted = false;
    for (const char letter : words) {
        if (letter == '"') is_quoted = !is_quoted;
        if (letter == '"' && !is_quoted) text.append("\"...");
        if (!is_quoted || letter == '"') text.push_back(letter);
    }
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
}

std::optional<Options> parsed(const std::string& dsn, std::string& problem) {
    char* words = nullptr;
    const OptionList list{PQconninfoParse(dsn.c_str(), &words)};
    const std::unique_ptr<char, decltype(&PQfreemem)> owned{words, &PQfreemem};
    if (list) return values_in(list.get());
    problem = words ? without_quotations(words) : "not enough memory";
    return std::nullopt;
}

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> parts;
    if (list.empty()) return parts;
    for (const auto part : std::views::split(list, ',')) parts.emplace_back(part.begin(), part.end());
    return parts;
}

std::string take(Options& options, const std::string& name) {
    auto node = options.extract(name);
    return node ? std::move(node.mapped()) : std::string{};
}

void set_unless_known(Options& options, const char* name, const char* value, const char* variable = nullptr) {
    if (!variable || !std::getenv(variable)) options.try_emplace(name, value);
}

std::string legal_count(std::size_t count) {
    return "must name one for each of the " + std::to_string(count) + " hosts";
}

} // namespace

bool is_secret(std::string_view option) noexcept {
    return option == "password" || option == "sslpassword";
}

std::string masked(const ConnectionConfig& config) {
    std::string problem;
    auto shown = parsed(config.dsn, problem).value_or(Options{});
    for (const auto& [name, value] : config.options) shown.insert_or_assign(name, value);
    std::string text;
    for (const auto& [name, value] : shown) {
        if (!text.empty()) text.push_back(' ');
        text.append(name).append("=").append(is_secret(name) ? "***" : value);
    }
    return text;
}

std::vector<ConfigProblem> validate(const ConnectionConfig& config) {
    constexpr std::size_t most_statements = 100'000;
    std::vector<ConfigProblem> problems;
    std::string problem;
    auto given = parsed(config.dsn, problem);
    if (!given) problems.push_back({"dsn", "\"...\"", "must be a connection string of libpq: " + problem});
    auto all = given.value_or(Options{});

    const OptionList known{PQconndefaults()};
    for (const auto& [name, value] : config.options) {
        const auto* option = known.get();
        while (option && option->keyword && name != option->keyword) ++option;
        if (option && !option->keyword)
            problems.push_back({"options." + name, is_secret(name) ? "***" : "...", "must be a parameter of libpq"});
        all.insert_or_assign(name, value);
    }
    if (all.contains("service"))
        problems.push_back({"service", all["service"], "must be named by the variable PGSERVICE, or written out"});

    const auto hosts = split(all["host"]).size();
    const auto addresses = split(all["hostaddr"]).size();
    const auto ports = split(all["port"]).size();
    const auto count = std::max({hosts, addresses, std::size_t{1}});
    if (hosts != 0 && addresses != 0 && hosts != addresses)
        problems.push_back({"hostaddr", all["hostaddr"], legal_count(hosts)});
    if (ports > 1 && ports != count)
        problems.push_back({"port", all["port"], "must be one port, or " + legal_count(count)});
    if (config.statement_cache_size > most_statements)
        problems.push_back(
            {"statement_cache_size", std::to_string(config.statement_cache_size), "must be 0 to 100000"});
    return problems;
}

ConnectOptions::ConnectOptions(const ConnectionConfig& config) {
    std::string problem;
    options = parsed(validated(config).dsn, problem).value_or(Options{});
    for (const auto& [name, value] : config.options) options.insert_or_assign(name, value);
    const OptionList list{PQconndefaults()};
    auto defaults = values_in(list.get()); // with the environment's
    for (const auto* name : {"host", "hostaddr", "port", "connect_timeout", "target_session_attrs"})
        if (!options.contains(name) && defaults.contains(name)) options.emplace(name, defaults[name]);

    const auto names = split(take(options, "host"));
    const auto addresses = split(take(options, "hostaddr"));
    const auto ports = split(take(options, "port"));
    const auto at = [](const std::vector<std::string>& parts, std::size_t i) {
        return i < parts.size() ? parts[i] : std::string{};
    };
    for (std::size_t i = 0; i < std::max({names.size(), addresses.size(), std::size_t{1}}); ++i)
        hosts.push_back({at(names, i), at(addresses, i), at(ports, ports.size() == 1 ? 0 : i)});

    const auto timeout = take(options, "connect_timeout");
    int seconds = 0;
    std::from_chars(timeout.data(), timeout.data() + timeout.size(), seconds);
    if (seconds > 0) connect_timeout = std::chrono::seconds{seconds};

    set_unless_known(options, "keepalives_idle", "30");
    set_unless_known(options, "keepalives_interval", "10");
    set_unless_known(options, "keepalives_count", "3");
    set_unless_known(options, "tcp_user_timeout", "30000");
    set_unless_known(options, "client_encoding", "UTF8", "PGCLIENTENCODING");
    set_unless_known(options, "gssencmode", "disable", "PGGSSENCMODE");
    set_unless_known(options, "fallback_application_name", "velostream");
}

} // namespace velostream::postgres
