// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/grouping.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <tuple>
#include <utility>

#include "tools/dlq/filter.hpp"

namespace velostream::dlq {

namespace {

constexpr std::array<std::pair<GroupBy, std::string_view>, 4> words{{{GroupBy::fingerprint, "fingerprint"},
                                                                     {GroupBy::type, "type"},
                                                                     {GroupBy::topic, "topic"},
                                                                     {GroupBy::hour, "hour"}}};
constexpr std::int64_t no_hour = -1;

std::int64_t hour_of(const std::optional<WallTime>& time) {
    if (!time) return no_hour;
    return std::chrono::floor<std::chrono::hours>(*time).time_since_epoch().count();
}

// A sample is for looking at; the letter itself is shown by its place. No character is cut: the rest would be no text.
std::string sample_of(std::string_view message) {
    constexpr std::size_t longest = 1024, longest_character = 4;
    if (message.size() <= longest) return std::string{message};
    const auto is_inside = [message](std::size_t at) {
        return (static_cast<unsigned char>(message[at]) & 0xC0) == 0x80;
    };
    auto end = longest;
    while (is_inside(end) && end > longest - longest_character) --end;
    return std::string{message.substr(0, end)};
}

} // namespace

std::string_view to_string(GroupBy by) noexcept {
    return std::ranges::find(words, by, &std::pair<GroupBy, std::string_view>::first)->second;
}

std::optional<GroupBy> group_by(std::string_view word) noexcept {
    const auto* const found = std::ranges::find(words, word, &std::pair<GroupBy, std::string_view>::second);
    return found == words.end() ? std::nullopt : std::optional{found->first};
}

Grouping::Key Grouping::key_of(const Letter& letter, const DeadLetterFacts& facts) const {
    switch (by_) {
        case GroupBy::fingerprint:
            return {std::string{type_of(facts)}, std::string{facts.topic}, facts.fingerprint, 0};
        case GroupBy::type:
            return {std::string{type_of(facts)}, {}, 0, 0};
        case GroupBy::topic:
            return {{}, std::string{facts.topic}, 0, 0};
        case GroupBy::hour:
            return {{}, {}, 0, hour_of(letter.record.timestamp)};
    }
    return {};
}

void Grouping::add(const Letter& letter, const DeadLetterFacts& facts) {
    ++total_;
    const auto key = key_of(letter, facts);
    auto& group = groups_[key];
    const auto& [type, topic, fingerprint, hour] = key;
    if (group.count++ == 0) {
        if (by_ == GroupBy::fingerprint) group.fingerprint = fingerprint;
        if (by_ == GroupBy::fingerprint || by_ == GroupBy::type) group.type = type;
        if (by_ == GroupBy::fingerprint || by_ == GroupBy::topic) group.original_topic = topic;
        if (by_ == GroupBy::hour && hour != no_hour) group.hour = WallTime{std::chrono::hours{hour}};
    }
    if (const auto time = letter.record.timestamp) {
        group.first = std::min(group.first.value_or(*time), *time);
        group.last = std::max(group.last.value_or(*time), *time);
    }
    group.sample = letter.place;
    group.message.reset();
    if (facts.message) group.message = sample_of(*facts.message);
}

std::vector<Group> Grouping::groups() const {
    std::vector<Group> groups;
    for (const auto& [key, group] : groups_) groups.push_back(group);
    const auto comes_first = [](const Group& one, const Group& other) {
        if (one.count != other.count) return one.count > other.count;
        return std::tie(one.type, one.original_topic, one.fingerprint) <
               std::tie(other.type, other.original_topic, other.fingerprint);
    };
    if (by_ != GroupBy::hour) std::ranges::sort(groups, comes_first);
    return groups;
}

} // namespace velostream::dlq
