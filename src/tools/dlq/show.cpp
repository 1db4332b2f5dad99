// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/dlq/commands.hpp"
#include "tools/dlq/frame_names.hpp"
#include "tools/dlq/option_values.hpp"
#include "tools/dlq/shown.hpp"

namespace velostream::dlq {

namespace {

using Json = nlohmann::ordered_json;

std::string place_text(std::string_view topic, std::int32_t partition, std::int64_t offset, std::size_t most) {
    auto text = shown(topic, most);
    if (partition >= 0) text += fmt::format(", partition {}", partition);
    if (offset >= 0) text += fmt::format(", offset {}", offset);
    return text;
}

std::string time_text(const std::optional<WallTime>& time, TimestampType type) {
    if (!time) return {};
    const auto how = type == TimestampType::not_available ? std::string{} : fmt::format(" ({})", to_string(type));
    return to_text(*time) + how;
}

/// Rows of a name and a value; without a value there is no row.
class Rows {
  public:
    explicit Rows(std::size_t most) : most_(most) {}

    void add(std::string_view name, const std::string& value) {
        if (!value.empty()) text_ += fmt::format("  {:<18}{}\n", name, value);
    }
    void add_bytes(std::string_view name, std::string_view value) {
        if (!value.empty()) add(name, shown(value, most_));
    }
    /// A line for each one of the value.
    void add_lines(std::string_view name, std::string_view value) {
        while (!value.empty()) {
            const auto end = std::min(value.find('\n'), value.size());
            add(name, shown(value.substr(0, end), most_));
            value.remove_prefix(std::min(end + 1, value.size()));
            name = {};
        }
    }
    std::string text() && { return std::move(text_); }

  private:
    std::size_t most_;
    std::string text_;
};

void put(Json& json, const std::string& name, const NullableBytes& bytes) {
    if (!bytes)
        json[name] = nullptr;
    else if (is_text(*bytes))
        json[name] = *bytes;
    else
        json[name + "_hex"] = hex(*bytes);
}

void put_unless_empty(Json& json, const std::string& name, std::string_view bytes) {
    if (!bytes.empty()) put(json, name, bytes);
}

void put_time(Json& json, const std::string& name, const std::optional<WallTime>& time) {
    if (time) json[name] = to_text(*time);
}

Json origin_of(const DeadLetterFacts& facts) {
    Json json = Json::object();
    put_unless_empty(json, "topic", facts.topic);
    if (facts.partition >= 0) json["partition"] = facts.partition;
    if (facts.offset >= 0) json["offset"] = facts.offset;
    put_time(json, "timestamp", facts.timestamp);
    put_unless_empty(json, "group", facts.group);
    put_unless_empty(json, "application", facts.application);
    put_unless_empty(json, "instance", facts.instance);
    put_unless_empty(json, "handler", facts.handler);
    return json;
}

Json error_of(const DeadLetterFacts& facts) {
    Json json = Json::object();
    if (facts.error_type) json["type"] = to_string(*facts.error_type);
    put_unless_empty(json, "class", facts.error_class);
    put_unless_empty(json, "cause_class", facts.cause_class);
    if (facts.message) put(json, "message", facts.message);
    if (facts.stage) json["stage"] = to_string(*facts.stage);
    if (facts.attempts) json["attempts"] = *facts.attempts;
    put_time(json, "first_failure", facts.first_failure);
    put_time(json, "last_failure", facts.last_failure);
    put_unless_empty(json, "chain", facts.chain);
    put_unless_empty(json, "stack_trace", facts.stack_trace);
    return json;
}

/// Takes letters out of a list of places and ids as they are found.
class Wanted {
  public:
    explicit Wanted(const std::vector<std::string>& texts) {
        for (const auto& text : texts)
            if (const auto at = place(text))
                places_.insert(*at);
            else
                ids_.insert(text);
    }

    /// What must be read for them: everything, if an id is among them.
    Filter filter() const {
        Filter filter;
        if (!ids_.empty()) return filter;
        for (const auto& at : places_) filter.spans.push_back({at.partition, at.offset, at.offset});
        return filter;
    }
    /// Letters of one id are all wanted: they are copies.
    bool takes(const Letter& letter, const DeadLetterFacts& facts) {
        const bool has_place = places_.erase(letter.place) != 0;
        const bool has_id = ids_.contains(std::string{facts.id});
        if (has_id) found_.insert(std::string{facts.id});
        return has_place || has_id;
    }
    bool has_all() const { return places_.empty() && ids_.empty(); }
    std::vector<std::string> missing() const {
        std::vector<std::string> texts;
        for (const auto& at : places_) texts.push_back(to_string(at));
        std::ranges::set_difference(ids_, found_, std::back_inserter(texts));
        return texts;
    }

  private:
    std::set<Place> places_;
    std::set<std::string> ids_, found_;
};

} // namespace

std::string letter_text(const Letter& letter, const DeadLetterFacts& facts, bool full) {
    const auto most = full ? std::numeric_limits<std::size_t>::max() : std::size_t{400};
    const auto& record = letter.record;
    Rows rows{most};
    rows.add("time", time_text(record.timestamp, record.timestamp_type));
    rows.add_bytes("id", facts.id);
    rows.add("fingerprint", fmt::format("{:016x}", facts.fingerprint));
    rows.add("headers of", std::string{to_string(facts.family)});
    if (!facts.topic.empty()) rows.add("from", place_text(facts.topic, facts.partition, facts.offset, most));
    rows.add("original time", time_text(facts.timestamp, facts.timestamp_type));
    rows.add_bytes("group", facts.group);
    rows.add_bytes("application", facts.application);
    rows.add_bytes("instance", facts.instance);
    rows.add_bytes("handler", facts.handler);
    if (facts.error_type) rows.add("error type", std::string{to_string(*facts.error_type)});
    rows.add_bytes("error class", facts.error_class);
    rows.add_bytes("cause class", facts.cause_class);
    rows.add_bytes("message", facts.message.value_or(std::string_view{}));
    if (facts.stage) rows.add("stage", std::string{to_string(*facts.stage)});
    if (facts.attempts) rows.add("attempts", grouped(*facts.attempts));
    if (facts.redrives > 0) rows.add("redriven", grouped(facts.redrives));
    if (facts.first_failure) rows.add("first failure", to_text(*facts.first_failure));
    if (facts.last_failure) rows.add("last failure", to_text(*facts.last_failure));
    rows.add_bytes("chain", facts.chain);
    rows.add_bytes("left out", facts.left_out);
    rows.add_lines("stack trace", facts.stack_trace);
    if (!facts.has_record) {
        rows.add("record", "left out when the letter was written");
    } else {
        rows.add("key", shown(record.key, most));
        rows.add("value", shown(record.value, most));
    }
    for (const auto& header : facts.original_headers)
        rows.add("header", shown(header.name, most) + " = " + shown(header.value, most));
    return fmt::format("letter {}\n{}", to_string(letter.place), std::move(rows).text());
}

std::string letter_json(const Letter& letter, const DeadLetterFacts& facts) {
    const auto& record = letter.record;
    Json json;
    json["partition"] = letter.place.partition;
    json["offset"] = letter.place.offset;
    put_time(json, "timestamp", record.timestamp);
    put_unless_empty(json, "id", facts.id);
    json["fingerprint"] = fmt::format("{:016x}", facts.fingerprint);
    json["family"] = to_string(facts.family);
    json["origin"] = origin_of(facts);
    json["error"] = error_of(facts);
    json["redrives"] = facts.redrives;
    put_unless_empty(json, "left_out", facts.left_out);
    json["has_record"] = facts.has_record;
    put(json, "key", record.key);
    put(json, "value", record.value);
    json["headers"] = Json::array();
    for (const auto& header : record.headers) {
        Json one;
        put(one, "name", header.name);
        put(one, "value", header.value);
        json["headers"].push_back(std::move(one));
    }
    return json.dump();
}

Ended show(const Options& options) {
    Wanted wanted{options.letters};
    const FrameNames names{options.programs};
    std::optional<Error> unnamed;
    std::vector<std::string> found;
    const auto read =
        read_letters(options.source, wanted.filter(), [&](const Letter& letter, const DeadLetterFacts& facts) {
            if (!wanted.takes(letter, facts)) return true;
            const auto trace = names.named(facts.stack_trace);
            if (!trace) unnamed = trace.error();
            auto told = facts;
            if (trace) told.stack_trace = *trace;
            found.push_back(options.json ? letter_json(letter, told) : letter_text(letter, told, options.full));
            return !wanted.has_all();
        });
    if (!read) return ended_with(unreadable_input, read.error());
    if (unnamed) return ended_with(failed_command, *unnamed);
    if (options.json) {
        std::string all;
        for (const auto& one : found) all += (all.empty() ? "\n  " : ",\n  ") + one;
        std::printf("[%s%s]\n", all.c_str(), all.empty() ? "" : "\n");
    } else {
        for (const auto& one : found) std::printf("%s%s", &one == &found.front() ? "" : "\n", one.c_str());
    }
    const auto missing = wanted.missing();
    if (missing.empty()) return {};
    return {failed_command, options.source.text() + " has no letter " + missing.front()};
}

} // namespace velostream::dlq
