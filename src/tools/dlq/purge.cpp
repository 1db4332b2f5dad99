// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tools/dlq/blocking.hpp"
#include "tools/dlq/commands.hpp"
#include "tools/dlq/counted.hpp"
#include "tools/dlq/spool_segment.hpp"

namespace velostream::dlq {

namespace {

/// Asks whoever sits at the terminal; true only for a yes.
bool confirmed(const std::string& question) {
    std::fprintf(stderr, "%s [y/N] ", question.c_str());
    std::string answer;
    return std::getline(std::cin, answer) && (answer == "y" || answer == "Y" || answer == "yes");
}

/// Nothing, or how the command ends without having deleted anything.
std::optional<Ended> refused(const Options& options, const std::string& what) {
    if (options.yes) return std::nullopt;
    if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1)
        return Ended{wrong_usage, "purge: nobody is at a terminal to be asked: give --yes (see --help)"};
    if (confirmed("Delete " + what + "?")) return std::nullopt;
    return Ended{failed_command, "nothing was deleted"};
}

/// Of each partition, how much of what it holds is to be deleted.
Result<std::vector<kafka::OffsetRange>> doomed(const Options& options, std::vector<kafka::OffsetRange> ranges) {
    const auto& [topic, cluster, spool] = options.source;
    if (options.all) return ranges;
    if (options.filter.until) {
        auto kept = ranges_since(cluster, topic, ranges, *options.filter.until);
        if (!kept) return kept.error();
        for (std::size_t at = 0; at < ranges.size(); ++at) ranges[at].end = (*kept)[at].first;
        return ranges;
    }
    for (auto& range : ranges) {
        auto before = range.first;
        for (const auto& each : options.before)
            if (each.partition == range.partition) before = std::max(before, each.offset);
        range.end = std::min(range.end, before);
    }
    return ranges;
}

Ended purge_topic(const Options& options) {
    const auto& [topic, cluster, spool] = options.source;
    auto ranges = ranges_of(cluster, topic);
    if (ranges) ranges = doomed(options, std::move(*ranges));
    if (!ranges) return ended_with(unreadable_input, ranges.error());
    std::uint64_t count = 0;
    std::vector<kafka::PartitionOffset> before;
    for (const auto& range : *ranges) {
        if (range.first == range.end) continue;
        count += static_cast<std::uint64_t>(range.end - range.first);
        before.push_back({range.partition, range.end});
    }
    if (count > 0) {
        if (auto refusal = refused(options, counted(count, "letter") + " of topic " + topic)) return *refusal;
        const auto deleted = wait_for(admin_of(cluster).delete_records(topic, before, cluster.timeout));
        if (!deleted) return ended_with(failed_command, deleted.error());
    }
    std::printf("deleted %s of topic %s\n", counted(count, "letter").c_str(), topic.c_str());
    return {};
}

bool is_doomed(const Options& options, const spool_format::Frame& frame) {
    if (options.all) return true;
    if (options.filter.until) {
        const auto spooled = SpooledRecord::decoded(frame.payload);
        return spooled && spooled->record().timestamp && *spooled->record().timestamp < *options.filter.until;
    }
    return std::ranges::any_of(options.before, [&frame](const Place& place) {
        return static_cast<std::int64_t>(frame.sequence) < place.offset;
    });
}

/// How many frames are to be deleted; with `do_it`, they are.
Result<std::uint64_t> purge_segments(const Options& options, LockedSpool& spool, bool do_it) {
    const auto names = spool.segments();
    if (!names) return names.error();
    std::uint64_t count = 0;
    for (const auto& name : *names) {
        const auto segment = spool.read(name);
        if (!segment) return segment.error();
        const auto damaged = options.all ? 0 : damage_of(*segment, &name == &names->back());
        std::vector<spool_format::Frame> kept;
        for (const auto& frame : segment->frames())
            if (!is_doomed(options, frame)) kept.push_back(frame);
        const auto doomed_frames = segment->frames().size() - kept.size();
        count += doomed_frames;
        if (!do_it || (doomed_frames == 0 && !options.all)) continue;
        if (damaged > 0) {
            tell_of_damage(name, damaged);
            if (auto aside = spool.set_aside(*segment); !aside) return aside.error();
        }
        if (auto deleted = spool.keep(*segment, kept); !deleted) return deleted.error();
    }
    return count;
}

Ended purge_spool(const Options& options) {
    const auto& folder = options.source.spool;
    auto spool = LockedSpool::open(folder);
    if (!spool) return ended_with(unreadable_input, spool.error());
    auto count = purge_segments(options, *spool, false);
    if (!count) return ended_with(unreadable_input, count.error());
    if (*count > 0 || options.all) {
        if (auto refusal = refused(options, counted(*count, "letter") + " of spool " + folder)) return *refusal;
        count = purge_segments(options, *spool, true);
        if (!count) return ended_with(failed_command, count.error());
    }
    std::printf("deleted %s of spool %s\n", counted(*count, "letter").c_str(), folder.c_str());
    return {};
}

} // namespace

Ended purge(const Options& options) {
    return options.source.is_topic() ? purge_topic(options) : purge_spool(options);
}

} // namespace velostream::dlq
