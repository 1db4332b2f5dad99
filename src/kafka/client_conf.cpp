// SPDX-License-Identifier: Apache-2.0
#include "client_conf.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>

#include "async/background.hpp"

namespace velostream::kafka {

namespace {

constexpr auto hidden = "***";

// Of a name that the client library does not have nobody can say whether the value is a secret.
bool is_known(rd_kafka_conf_t* conf, const std::string& property) {
    std::array<char, 512> why{};
    return rd_kafka_conf_set(conf, property.c_str(), "", why.data(), why.size()) != RD_KAFKA_CONF_UNKNOWN;
}

// Up to the first character that no name has: what follows may be a value that came there by mistake.
std::string shown_name(const std::string& name) {
    const auto end = name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return end == std::string::npos ? name : name.substr(0, end) + hidden;
}

} // namespace

bool is_secret(std::string_view property) noexcept {
    constexpr std::array<std::string_view, 6> marks{"password", "secret",      "token",
                                                    ".pem",     "jaas.config", "oauthbearer.config"};
    return std::ranges::any_of(
        marks, [property](std::string_view mark) { return property.find(mark) != std::string_view::npos; });
}

std::string masked(const Properties& properties) {
    const ClientConf::Owner any{rd_kafka_conf_new()};
    std::string text;
    for (const auto& [name, value] : properties) {
        if (!text.empty()) text.append(", ");
        const bool is_shown = is_known(any.get(), name) && !is_secret(name);
        text.append(shown_name(name)).append("=").append(is_shown ? value : hidden);
    }
    return text;
}

std::string in_milliseconds(Duration duration) {
    return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(duration).count()) + " ms";
}

ClientConf::ClientConf(const std::string& bootstrap_servers, const std::string& client_id) {
    // Unless the user asks for them, logs would go to standard error from the library's own threads.
    rd_kafka_conf_set_log_cb(conf_.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
    check(!bootstrap_servers.empty(), "bootstrap_servers", "\"\"", "must name at least one host:port");
    if (!bootstrap_servers.empty()) set("bootstrap.servers", bootstrap_servers);
    set("client.id", client_id);
    // Measured with 2.0.2: with its own maximum of 10 s a client notices recovered brokers up to 10 s late, and reports
    // timed-out messages up to 8 s late.
    set("reconnect.backoff.ms", 50);
    set("reconnect.backoff.max.ms", 250);
    set("socket.nagle.disable", "true");
    set("topic.metadata.refresh.fast.interval.ms", 100);
}

void ClientConf::check(bool is_legal, std::string field, std::string value, std::string legal) {
    if (!is_legal) problems_.push_back({std::move(field), std::move(value), std::move(legal)});
}

void ClientConf::set(const char* name, const std::string& value) {
    std::array<char, 512> why{};
    const auto result = rd_kafka_conf_set(conf_.get(), name, value.c_str(), why.data(), why.size());
    if (result == RD_KAFKA_CONF_OK) return;
    if (result == RD_KAFKA_CONF_UNKNOWN)
        problems_.push_back({shown_name(name), hidden, "is no property of the client library"});
    else if (is_secret(name))
        problems_.push_back({name, hidden, "must be legal for the client library"}); // its own words quote the value
    else
        problems_.push_back({name, value, why.data()});
}

void ClientConf::set(const char* name, Duration value) {
    constexpr Duration most = std::chrono::milliseconds{std::numeric_limits<std::int32_t>::max()}; // the client's
    set(name, std::to_string(std::chrono::ceil<std::chrono::milliseconds>(std::min(value, most)).count()));
}

void ClientConf::set(const Properties& properties, std::initializer_list<std::string_view> reserved) {
    for (const auto& [name, value] : properties) {
        const bool is_reserved = std::ranges::find(reserved, std::string_view{name}) != reserved.end();
        check(!is_reserved, "properties." + name, value, "is set by this library");
        if (!is_reserved) set(name.c_str(), value);
    }
}

rd_kafka_t* ClientConf::open(rd_kafka_type_t type) {
    throw_if_any(problems_);
    begin_background();
    std::array<char, 512> why{};
    auto* client = rd_kafka_new(type, conf_.get(), why.data(), why.size());
    if (!client) throw std::invalid_argument{why.data()};
    static_cast<void>(conf_.release()); // the client owns it now
    return client;
}

} // namespace velostream::kafka
