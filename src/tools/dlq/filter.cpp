// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/filter.hpp"

#include <algorithm>

namespace velostream::dlq {

namespace {

// What was not asked for fits.
template <class Values, class Fits>
bool any_fits(const Values& values, Fits fits) {
    return values.empty() || std::ranges::any_of(values, fits);
}

bool has(const HeadersView& headers, const HeaderMatch& wanted) {
    return std::ranges::any_of(headers, [&wanted](const HeaderView& header) {
        return header.name == wanted.name && (!wanted.value || header.value == NullableBytes{*wanted.value});
    });
}

} // namespace

std::string_view type_of(const DeadLetterFacts& facts) noexcept {
    return facts.error_type ? to_string(*facts.error_type) : facts.error_class;
}

bool Filter::takes(const Letter& letter, const DeadLetterFacts& facts) const {
    const auto& record = letter.record;
    if (since && (!record.timestamp || *record.timestamp < *since)) return false;
    if (until && (!record.timestamp || *record.timestamp >= *until)) return false;
    if (key_prefix && (!record.key || !record.key->starts_with(*key_prefix))) return false;
    const auto is_type = [&facts](const std::string& type) {
        return type == facts.error_class || (facts.error_type && type == to_string(*facts.error_type));
    };
    return any_fits(spans, [&letter](const PartitionSpan& span) { return span.holds(letter.place); }) &&
           any_fits(types, is_type) &&
           any_fits(fingerprints, [&facts](std::uint64_t wanted) { return wanted == facts.fingerprint; }) &&
           any_fits(original_topics, [&facts](const std::string& topic) { return topic == facts.topic; }) &&
           std::ranges::all_of(headers, [&record](const HeaderMatch& wanted) { return has(record.headers, wanted); });
}

} // namespace velostream::dlq
