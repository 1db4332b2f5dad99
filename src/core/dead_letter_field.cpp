// SPDX-License-Identifier: Apache-2.0
#include "core/dead_letter_field.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "core/dead_letter_names.hpp"

namespace velostream::detail {

namespace {

struct Entry {
    std::string_view name; // behind the prefix
    Field field;
};

constexpr std::array connect{Entry{"topic", Field::topic},
                             Entry{"partition", Field::partition},
                             Entry{"offset", Field::offset},
                             Entry{"connector.name", Field::application},
                             Entry{"task.id", Field::instance},
                             Entry{"class.name", Field::handler},
                             Entry{"stage", Field::stage},
                             Entry{"exception.class.name", Field::error_class},
                             Entry{"exception.message", Field::message},
                             Entry{"exception.stacktrace", Field::stack_trace}};

constexpr std::array streams{Entry{"topic", Field::topic},     Entry{"partition", Field::partition},
                             Entry{"offset", Field::offset},   Entry{"exception", Field::error_text},
                             Entry{"message", Field::message}, Entry{"stacktrace", Field::stack_trace}};

constexpr std::array share_group{Entry{"topic", Field::topic},     Entry{"partition", Field::partition},
                                 Entry{"offset", Field::offset},   Entry{"group", Field::group},
                                 Entry{"message", Field::message}, Entry{"delivery.count", Field::attempts}};

// Behind `kafka_dlt-`, and in retry topics behind `kafka_`.
constexpr std::array spring{Entry{"original-topic", Field::topic},
                            Entry{"original-partition", Field::partition},
                            Entry{"original-offset", Field::offset},
                            Entry{"original-timestamp", Field::timestamp},
                            Entry{"original-timestamp-type", Field::timestamp_type},
                            Entry{"original-consumer-group", Field::group},
                            Entry{"exception-fqcn", Field::error_class},
                            Entry{"exception-cause-fqcn", Field::cause_class},
                            Entry{"exception-message", Field::message},
                            Entry{"exception-stacktrace", Field::stack_trace},
                            Entry{"key-exception-fqcn", Field::error_class},
                            Entry{"key-exception-message", Field::message},
                            Entry{"key-exception-stacktrace", Field::stack_trace}};

constexpr std::array spring_retry{Entry{"retry_topic-attempts", Field::attempts},
                                  Entry{"retry_topic-original-timestamp", Field::retry_timestamp}};

constexpr std::array own{Entry{"version", Field::version},
                         Entry{"id", Field::id},
                         Entry{"error-type", Field::error_type},
                         Entry{"attempts", Field::attempts},
                         Entry{"first-failure-ms", Field::first_failure},
                         Entry{"last-failure-ms", Field::last_failure},
                         Entry{"original-timestamp", Field::timestamp},
                         Entry{"original-timestamp-type", Field::timestamp_type},
                         Entry{"group", Field::group},
                         Entry{"fingerprint", Field::fingerprint},
                         Entry{"chain", Field::chain},
                         Entry{"redrive-count", Field::redrives},
                         Entry{"truncated", Field::left_out}};

Field field_in(std::span<const Entry> entries, std::string_view name) noexcept {
    const auto found = std::ranges::find(entries, name, &Entry::name);
    return found == entries.end() ? Field::none : found->field;
}

} // namespace

FieldName field_of(std::string_view name) noexcept {
    const auto is = [&](std::string_view prefix) { return name.starts_with(prefix); };
    if (is(own_prefix)) return {HeaderFamily::own, field_in(own, name.substr(own_prefix.size()))};
    if (is(connect_prefix)) return {HeaderFamily::connect, field_in(connect, name.substr(connect_prefix.size()))};
    if (is(streams_prefix)) return {HeaderFamily::streams, field_in(streams, name.substr(streams_prefix.size()))};
    if (is(share_group_prefix))
        return {HeaderFamily::share_group, field_in(share_group, name.substr(share_group_prefix.size()))};
    if (is(spring_prefix)) return {HeaderFamily::spring, field_in(spring, name.substr(spring_prefix.size()))};
    if (std::ranges::any_of(spring_retry_prefixes, is)) {
        constexpr std::string_view kafka = "kafka_";
        return {HeaderFamily::spring,
                is(kafka) ? field_in(spring, name.substr(kafka.size())) : field_in(spring_retry, name)};
    }
    return {};
}

std::optional<FailedStage> stage_of(std::string_view word) noexcept {
    struct Word {
        std::string_view word;
        FailedStage stage;
    };
    constexpr std::array words{
        Word{"KAFKA_CONSUME", FailedStage::consume},   Word{"TASK_POLL", FailedStage::consume},
        Word{"KEY_CONVERTER", FailedStage::decode},    Word{"VALUE_CONVERTER", FailedStage::decode},
        Word{"HEADER_CONVERTER", FailedStage::decode}, Word{"TRANSFORMATION", FailedStage::process},
        Word{"TASK_PUT", FailedStage::store},          Word{"KAFKA_PRODUCE", FailedStage::send}};
    const auto* const found = std::ranges::find(words, word, &Word::word);
    return found == words.end() ? std::nullopt : std::optional{found->stage};
}

std::optional<ErrorType> error_type_of(std::string_view word) noexcept {
    for (auto type = static_cast<int>(ErrorType::network); type <= static_cast<int>(ErrorType::unknown); ++type)
        if (word == to_string(static_cast<ErrorType>(type))) return static_cast<ErrorType>(type);
    return std::nullopt;
}

std::optional<std::int64_t> java_big_integer(std::string_view bytes) noexcept {
    if (bytes.empty() || bytes.size() > sizeof(std::int64_t)) return std::nullopt;
    std::uint64_t number = (static_cast<unsigned char>(bytes.front()) & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
    return static_cast<std::int64_t>(number);
}

// A byte in front is not needed where it only repeats the sign of the next.
std::string java_big_integer_bytes(std::int64_t number) {
    const auto bytes = big_endian_bytes(number);
    const char filler = number < 0 ? '\xFF' : '\0';
    std::size_t first = 0;
    while (first + 1 < bytes.size() && bytes[first] == filler && ((bytes[first + 1] ^ filler) & 0x80) == 0) ++first;
    return {bytes.begin() + first, bytes.end()};
}

} // namespace velostream::detail
