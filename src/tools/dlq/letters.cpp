// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/letters.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tools/dlq/progress.hpp"
#include "tools/dlq/shown.hpp"
#include "tools/dlq/spool_segment.hpp"
#include "velostream/core/spool_frame.hpp"

namespace velostream::dlq {

namespace {

using kafka::OffsetRange;

std::uint64_t records_of(std::span<const OffsetRange> ranges) {
    std::uint64_t count = 0;
    for (const auto& range : ranges) count += static_cast<std::uint64_t>(range.end - range.first);
    return count;
}

bool show(const Letter& letter, const Filter& filter, const Visit& visit) {
    const auto facts = read_dead_letter(letter.record);
    return !filter.takes(letter, facts) || visit(letter, facts);
}

Result<void> read_topic(const Source& source, const Filter& filter, const Visit& visit) {
    Progress progress{"reading " + source.topic};
    auto held = ranges_of(source.cluster, source.topic);
    if (held) held = narrowed(std::move(*held), filter.spans);
    if (held && filter.since) held = ranges_since(source.cluster, source.topic, std::move(*held), *filter.since);
    if (!held) return held.error();
    const auto whole = records_of(*held);
    std::uint64_t read = 0;
    return read_ranges(source.cluster, source.topic, *held, [&](const kafka::ConsumedRecord& record) {
        progress.show(++read, whole);
        return show({{record.partition(), record.offset()}, record_view(record)}, filter, visit);
    });
}

Result<void> read_spool(const Source& source, const Filter& filter, const Visit& visit) {
    Progress progress{"reading " + source.spool};
    const auto names = segments_of(source.spool);
    if (!names) return names.error();
    std::uint64_t read = 0;
    for (const auto& name : *names) {
        const auto segment = read_segment(source.spool, name);
        if (!segment) return segment.error();
        if (!*segment) continue;
        auto damaged = damage_of(**segment, &name == &names->back());
        for (const auto& frame : (*segment)->frames()) {
            const auto spooled = SpooledRecord::decoded(frame.payload);
            if (!spooled) {
                damaged += frame.size();
                continue;
            }
            progress.show(++read, 0);
            if (!show({{0, static_cast<std::int64_t>(frame.sequence)}, spooled->record()}, filter, visit)) return {};
        }
        if (damaged == 0) continue;
        progress.clear();
        tell_of_damage(name, damaged);
    }
    return {};
}

} // namespace

std::vector<OffsetRange> narrowed(std::vector<OffsetRange> ranges, std::span<const PartitionSpan> spans) {
    if (spans.empty()) return ranges;
    for (auto& range : ranges) {
        auto first = range.end, end = range.first;
        for (const auto& span : spans) {
            if (span.partition != range.partition) continue;
            first = std::min(first, std::max(span.from, range.first));
            end = std::max(end, span.to < range.end ? span.to + 1 : range.end);
        }
        range.first = std::min(first, range.end);
        range.end = std::max(end, range.first);
    }
    std::erase_if(ranges, [](const OffsetRange& range) { return range.first == range.end; });
    return ranges;
}

void tell_of_damage(const std::string& name, Bytes damaged) {
    std::fprintf(stderr, "velostream-dlq: %s: %s bytes are damaged and were passed over\n", name.c_str(),
                 grouped(damaged).c_str());
}

Result<void> read_letters(const Source& source, const Filter& filter, const Visit& visit) {
    return source.is_topic() ? read_topic(source, filter, visit) : read_spool(source, filter, visit);
}

} // namespace velostream::dlq
