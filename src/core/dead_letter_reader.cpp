// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/dead_letter_reader.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>

#include "core/dead_letter_field.hpp"
#include "core/dead_letter_names.hpp"
#include "core/dead_letter_writer.hpp"
#include "core/error_description.hpp"

namespace velostream {

namespace {

using detail::Field;
using detail::FieldName;

/// Which families stand where.
struct Outline {
    HeaderFamily place = HeaderFamily::none; ///< the first that names a topic
    HeaderFamily error = HeaderFamily::none; ///< that of others which stands last
    bool own_is_newest = false;              ///< ours stand behind it
};

Outline outline_of(const HeadersView& headers) {
    Outline outline;
    for (const auto& header : headers) {
        const auto [family, field] = detail::field_of(header.name);
        if (field == Field::none) continue;
        if (family == HeaderFamily::own) {
            // A record that was sent again has others of ours, but is no dead letter.
            if (field == Field::version) outline.own_is_newest = true;
            continue;
        }
        outline.error = family;
        outline.own_is_newest = false;
        if (field == Field::topic && outline.place == HeaderFamily::none && !header.value.value_or("").empty())
            outline.place = family;
    }
    return outline;
}

/// Puts headers, in their order, into the facts.
class Collector {
  public:
    Collector(DeadLetterFacts& facts, const Outline& outline) noexcept : facts_(facts), outline_(outline) {}

    void take(FieldName name, const NullableBytes& value) {
        if (name.family == HeaderFamily::own) {
            take_lasting(name.field, value.value_or(""));
            if (outline_.own_is_newest) take_own_error(name.field, value.value_or(""));
            return;
        }
        if (name.family == outline_.place) take_place(name, value.value_or(""));
        if (name.family == outline_.error) take_error(name, value);
    }

    /// What is known only when all is read.
    void finish(const RecordView& record) {
        const bool is_left_in_place = facts_.family == HeaderFamily::connect || facts_.family == HeaderFamily::streams;
        if (own_timestamp_) {
            facts_.timestamp = own_timestamp_;
            facts_.timestamp_type = own_timestamp_type_;
        } else if (facts_.timestamp) {
            facts_.timestamp_type = timestamp_type_;
        } else if (is_left_in_place) {
            facts_.timestamp = record.timestamp;
            facts_.timestamp_type = record.timestamp_type;
        }
        facts_.group = !own_group_.empty() && (outline_.own_is_newest || group_.empty()) ? own_group_ : group_;
        if (!has_fingerprint_) facts_.fingerprint = computed_fingerprint();
    }

  private:
    void take_place(FieldName name, std::string_view value) {
        switch (name.field) {
            case Field::topic:
                if (facts_.topic.empty()) facts_.topic = value;
                break;
            case Field::partition:
                if (facts_.partition < 0) facts_.partition = number<std::int32_t>(name, value).value_or(-1);
                break;
            case Field::offset:
                if (facts_.offset < 0) facts_.offset = number<std::int64_t>(name, value).value_or(-1);
                break;
            case Field::timestamp:
                if (!facts_.timestamp) facts_.timestamp = detail::time_of(number<std::int64_t>(name, value));
                break;
            case Field::retry_timestamp:
                if (!facts_.timestamp) facts_.timestamp = detail::time_of(detail::java_big_integer(value));
                break;
            case Field::timestamp_type:
                if (timestamp_type_ == TimestampType::not_available)
                    timestamp_type_ = detail::timestamp_type_of(value).value_or(TimestampType::not_available);
                break;
            default:
                break;
        }
    }

    void take_error(FieldName name, const NullableBytes& value) {
        const auto text = value.value_or("");
        switch (name.field) {
            case Field::error_class:
                if (!text.empty()) facts_.error_class = text;
                break;
            case Field::error_text: // the class, or what Java's toString makes of class and message
                if (!text.empty()) facts_.error_class = text.substr(0, text.find(": "));
                break;
            case Field::cause_class:
                if (!text.empty()) facts_.cause_class = text;
                break;
            case Field::message:
                facts_.message = value;
                break;
            case Field::stack_trace:
                if (!text.empty()) facts_.stack_trace = text;
                break;
            case Field::stage:
                if (const auto stage = detail::stage_of(text)) facts_.stage = stage;
                break;
            case Field::group:
                if (!text.empty()) group_ = text;
                break;
            case Field::application:
                facts_.application = text;
                break;
            case Field::instance:
                facts_.instance = text;
                break;
            case Field::handler:
                facts_.handler = text;
                break;
            case Field::attempts:
                if (const auto attempts = attempts_of(name, text)) facts_.attempts = attempts;
                break;
            default:
                break;
        }
    }

    void take_lasting(Field field, std::string_view value) {
        switch (field) {
            case Field::id:
                if (!value.empty() && value.size() <= dead_letter_limits::id) facts_.id = value;
                break;
            case Field::first_failure:
                if (const auto time = time_of(value)) facts_.first_failure = time;
                break;
            case Field::timestamp:
                if (const auto time = time_of(value)) own_timestamp_ = time;
                break;
            case Field::timestamp_type:
                if (const auto type = detail::timestamp_type_of(value)) own_timestamp_type_ = *type;
                break;
            case Field::redrives:
                if (const auto count = detail::decimal<std::uint32_t>(value)) facts_.redrives = *count;
                break;
            case Field::group:
                if (!value.empty()) own_group_ = value;
                break;
            default:
                break;
        }
    }

    void take_own_error(Field field, std::string_view value) {
        switch (field) {
            case Field::error_type:
                if (const auto type = detail::error_type_of(value)) facts_.error_type = type;
                break;
            case Field::attempts:
                if (const auto attempts = detail::decimal<std::uint32_t>(value)) facts_.attempts = attempts;
                break;
            case Field::last_failure:
                if (const auto time = time_of(value)) facts_.last_failure = time;
                break;
            case Field::fingerprint: {
                constexpr std::size_t width = 16;
                const auto hash = value.size() == width ? detail::decimal<std::uint64_t>(value, 16) : std::nullopt;
                if (!hash) break;
                facts_.fingerprint = *hash;
                has_fingerprint_ = true;
                break;
            }
            case Field::chain:
                facts_.chain = value;
                break;
            case Field::left_out:
                facts_.left_out = value;
                facts_.has_record = !value.starts_with("record=") && value.find(",record=") == std::string_view::npos;
                break;
            default:
                break;
        }
    }

    static std::optional<WallTime> time_of(std::string_view text) {
        return detail::time_of(detail::decimal<std::int64_t>(text));
    }

    template <class Number>
    static std::optional<Number> number(FieldName name, std::string_view value) {
        const auto number =
            name.family == HeaderFamily::spring ? detail::big_endian<Number>(value) : detail::decimal<Number>(value);
        return number && *number >= 0 ? number : std::nullopt;
    }

    // Spring counted in one byte once, and takes what makes no sense for the first attempt.
    static std::optional<std::uint32_t> attempts_of(FieldName name, std::string_view value) {
        if (name.family != HeaderFamily::spring) return detail::decimal<std::uint32_t>(value);
        if (value.size() == 1) return std::max<std::uint32_t>(static_cast<unsigned char>(value.front()), 1);
        const auto attempts = detail::big_endian<std::int32_t>(value);
        return attempts ? std::optional{static_cast<std::uint32_t>(std::max(*attempts, 1))} : std::nullopt;
    }

    std::uint64_t computed_fingerprint() const {
        const auto type = facts_.error_type.value_or(ErrorType::unknown);
        const auto message = facts_.message.value_or("").substr(0, dead_letter_limits::message);
        return detail::fingerprint(to_string(type),
                                   facts_.cause_class.empty() ? facts_.error_class : facts_.cause_class, message);
    }

    DeadLetterFacts& facts_;
    const Outline& outline_;
    std::string_view group_, own_group_;
    std::optional<WallTime> own_timestamp_;
    TimestampType own_timestamp_type_ = TimestampType::not_available, timestamp_type_ = TimestampType::not_available;
    bool has_fingerprint_ = false;
};

} // namespace

std::string_view to_string(HeaderFamily family) noexcept {
    constexpr std::array<std::string_view, 6> words{"none", "own", "connect", "spring", "streams", "share_group"};
    return words[static_cast<std::size_t>(family)];
}

DeadLetterFacts read_dead_letter(const RecordView& record) {
    const auto outline = outline_of(record.headers);
    DeadLetterFacts facts;
    facts.family = outline.own_is_newest ? HeaderFamily::own : outline.error;
    Collector collector{facts, outline};
    for (const auto& header : record.headers) {
        const auto name = detail::field_of(header.name);
        if (name.family == HeaderFamily::none)
            facts.original_headers.push_back(header);
        else
            collector.take(name, header.value);
    }
    collector.finish(record);
    return facts;
}

std::optional<RestoredRecord> restored(const RecordView& dead_letter) {
    auto facts = read_dead_letter(dead_letter);
    if (!facts.has_record) return std::nullopt;

    RestoredRecord restored;
    auto& headers = restored.headers_ = std::move(facts.original_headers);
    auto& texts = restored.texts_;
    texts.reserve(dead_letter_limits::id + 128); // never grows: the headers look into it
    const auto add = [&](std::string_view name, std::string_view value) { headers.push_back({name, value}); };
    const auto add_made = [&](std::string_view name, std::string_view value) {
        const auto begin = texts.size();
        texts.append(value);
        add(name, std::string_view{texts}.substr(begin));
    };

    if (!facts.id.empty())
        add("x-dlq-id", facts.id);
    else if (!facts.topic.empty() && facts.offset >= 0)
        add_made("x-dlq-id",
                 detail::dead_letter_id({.topic = facts.topic, .partition = facts.partition, .offset = facts.offset},
                                        facts.group, facts.handler, {}));
    const auto redrives = facts.redrives;
    add_made("x-dlq-redrive-count",
             detail::Digits{redrives == std::numeric_limits<std::uint32_t>::max() ? redrives : redrives + 1}.text());
    if (facts.first_failure) add_made("x-dlq-first-failure-ms", detail::Digits{*facts.first_failure}.text());
    if (facts.timestamp) {
        add_made("x-dlq-original-timestamp", detail::Digits{*facts.timestamp}.text());
        add("x-dlq-original-timestamp-type", to_string(facts.timestamp_type));
    }

    restored.record_ = {.topic = facts.topic,
                        .partition = facts.partition,
                        .key = dead_letter.key,
                        .value = dead_letter.value,
                        .headers = std::span<const HeaderView>{headers}};
    return restored;
}

} // namespace velostream
