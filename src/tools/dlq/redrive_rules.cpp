// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/redrive_rules.hpp"

#include <fmt/format.h>

#include <map>

#include "tools/dlq/option_values.hpp"

namespace velostream::dlq {

namespace {

// FNV-1a: the name of a group must be the same in every version and on every machine.
std::uint64_t hash_of(std::string_view text) noexcept {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211ULL;
    return hash;
}

} // namespace

Fate RedriveRules::fate_of(const Letter& letter, const DeadLetterFacts& facts) const {
    if (!filter.takes(letter, facts)) return Fate::filtered;
    if (!facts.has_record) return Fate::without_record;
    if (!to && (!is_topic(facts.topic) || facts.topic == dead_letter_topic)) return Fate::without_topic;
    return facts.redrives >= max_redrives ? Fate::over_limit : Fate::sent;
}

std::optional<kafka::Record> record_to_send(const Letter& letter, const std::optional<std::string>& to) {
    const auto original = restored(letter.record);
    if (!original) return std::nullopt;
    const auto& view = original->record();
    kafka::Record record{to.value_or(std::string{view.topic}), copy_of(view.key), copy_of(view.value)};
    if (!to && view.partition >= 0) record.partition = view.partition;
    record.timestamp = view.timestamp;
    record.headers.reserve(view.headers.size());
    for (const auto& header : view.headers)
        record.headers.emplace_back(std::string{header.name}, copy_of(header.value));
    return record;
}

std::optional<OrderKey> order_key_of(const kafka::Record& record) {
    if (!record.key) return std::nullopt;
    return OrderKey{record.topic, *record.key};
}

std::vector<std::vector<std::size_t>> rounds_of(std::span<const std::optional<OrderKey>> keys) {
    std::vector<std::vector<std::size_t>> rounds;
    std::map<OrderKey, std::size_t> seen;
    for (std::size_t index = 0; index < keys.size(); ++index) {
        const auto round = keys[index] ? seen[*keys[index]]++ : 0;
        if (round == rounds.size()) rounds.emplace_back();
        rounds[round].push_back(index);
    }
    return rounds;
}

std::string default_group(std::string_view dead_letter_topic, const Filter& filter,
                          const std::optional<std::string>& to) {
    const auto what = filter.text + (to ? "to=" + *to : std::string{});
    return fmt::format("velostream-dlq.{}.{:016x}", dead_letter_topic, hash_of(what));
}

} // namespace velostream::dlq
