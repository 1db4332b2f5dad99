// SPDX-License-Identifier: Apache-2.0
#include "spool_log.hpp"

#include <algorithm>
#include <boost/system/errc.hpp>
#include <utility>

namespace velostream {

namespace {

using spool_format::Frame;

constexpr std::string_view suffix = ".spool", bad_suffix = ".bad";
constexpr std::size_t digits = 20;
constexpr auto header_size = spool_format::file_header.size();

std::string name_of(std::uint64_t first) {
    auto number = std::to_string(first);
    return std::string(digits - number.size(), '0').append(number).append(suffix);
}

std::optional<std::uint64_t> first_of(std::string_view name) {
    if (name.size() != digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    std::uint64_t first = 0;
    for (const char digit : name.substr(0, digits)) {
        if (digit < '0' || digit > '9') return std::nullopt;
        first = first * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return first;
}

// What a file grows by, its header included.
Bytes size_of(std::size_t payloads, Bytes payload_bytes) {
    return payload_bytes + payloads * spool_format::frame_header_size + header_size;
}

// Goes through the frames of a file.
class FrameReader {
  public:
    struct Found {
        Frame frame;       // valid until the next one is looked for
        Bytes end = 0;     // of it, in the file
        Bytes skipped = 0; // bytes in front of it that are none
    };

    FrameReader(SpoolFile& file, Bytes from, Bytes to) : file_(file), at_(from), to_(to) {}

    /// Nothing at the end: `skipped()` says what is left there.
    Result<std::optional<Found>> next() {
        at_ += std::exchange(passed_, 0);
        if (auto filled = fill(spool_format::frame_header_size); !filled) return filled.error();
        if (const auto size = spool_format::frame_size(rest()))
            if (auto filled = fill(*size); !filled) return filled.error();
        auto frame = spool_format::read_frame(rest());
        Bytes skipped = 0;
        if (!frame) {
            if (auto filled = fill(to_ - at_); !filled) return filled.error();
            skipped = spool_format::find_frame(rest());
            at_ += skipped;
            frame = spool_format::read_frame(rest());
        }
        if (!frame) {
            skipped_ = skipped;
            return std::optional<Found>{};
        }
        passed_ = frame->size();
        return std::optional{Found{*frame, at_ + passed_, skipped}};
    }
    Bytes skipped() const noexcept { return skipped_; }

  private:
    static constexpr std::size_t chunk = std::size_t{1} << 20;

    std::string_view rest() const noexcept { return std::string_view{bytes_}.substr(at_ - begin_); }
    // So many bytes from here on, or all that are left.
    Result<void> fill(Bytes wanted) {
        wanted = std::min(wanted, to_ - at_);
        if (at_ - begin_ <= bytes_.size() && rest().size() >= wanted) return {};
        auto read = file_.read(at_, std::min<Bytes>(std::max<Bytes>(wanted, chunk), to_ - at_));
        if (!read) return read.error();
        bytes_ = std::move(*read);
        begin_ = at_;
        return {};
    }

    SpoolFile& file_;
    Bytes at_;
    const Bytes to_;
    std::string bytes_;
    Bytes begin_ = 0; // of `bytes_`, in the file
    Bytes passed_ = 0, skipped_ = 0;
};

} // namespace

Result<SpoolLog> SpoolLog::open(std::unique_ptr<SpoolFiles> files, const SpoolLimits& limits) {
    SpoolLog log{std::move(files), limits};
    if (auto recovered = log.recover(); !recovered) return recovered.error();
    return log;
}

Result<void> SpoolLog::recover() {
    auto names = files_->names();
    if (!names) return names.error();
    std::ranges::sort(*names);
    for (const std::string_view name : *names) // what was put aside keeps its name
        if (name.ends_with(bad_suffix))
            if (const auto first = first_of(name.substr(0, name.size() - bad_suffix.size())))
                next_ = std::max(next_, *first + 1);
    std::erase_if(*names, [](const std::string& name) { return !first_of(name); });
    for (std::size_t i = 0; i < names->size(); ++i) {
        const auto& name = (*names)[i];
        auto file = files_->open(name);
        if (!file) return file.error();
        const auto first = *first_of(name);
        const auto first_of_next = i + 1 < names->size() ? first_of((*names)[i + 1]) : std::nullopt;
        auto& segment =
            segments_.emplace_back(Segment{.name = name, .file = std::move(*file), .first = first, .last = first - 1});
        if (auto recovered = recover(segment, first_of_next); !recovered) return recovered;
        next_ = std::max({next_, first + 1, segment.last + 1});
    }
    return remove_done();
}

Result<void> SpoolLog::recover(Segment& segment, std::optional<std::uint64_t> first_of_next) {
    const auto size = segment.file->size();
    if (!size) return size.error();
    const auto header = segment.file->read(0, header_size);
    if (!header) return header.error();
    const bool has_header = *header == spool_format::file_header;
    segment.size = has_header ? header_size : 0;
    FrameReader frames{*segment.file, segment.size, *size};
    Bytes corrupt = 0;
    for (;;) {
        auto found = frames.next();
        if (!found) return found.error();
        if (!*found) break;
        const auto& [frame, end, skipped] = **found;
        corrupt += skipped;
        segment.size = end;
        const bool is_of_next = first_of_next && frame.sequence >= *first_of_next;
        if (frame.sequence <= segment.last || frame.sequence - segment.first >= *size ||
            is_of_next) { // belongs somewhere else
            corrupt += frame.size();
            continue;
        }
        segment.last = frame.sequence;
        segment.settled.resize(frame.sequence - segment.first, true);
        segment.settled.push_back(false);
        ++segment.waiting;
    }
    if (frames.skipped() != 0 && !first_of_next) { // it was being written
        stats_.torn += frames.skipped();
        if (auto truncated = segment.file->truncate(segment.size); !truncated) return truncated;
        if (auto synced = segment.file->sync(); !synced) return synced;
    } else {
        corrupt += frames.skipped();
    }
    segment.is_corrupt = corrupt != 0;
    stats_.corrupt += corrupt;
    return {};
}

Result<void> SpoolLog::check_payload(Bytes payload) const {
    if (payload > spool_format::largest_payload)
        return Error{make_error_code(boost::system::errc::message_size),
                     "a payload of " + std::to_string(payload) + " bytes: a spool takes " +
                         std::to_string(spool_format::largest_payload) + " at most"};
    if (size_of(1, payload) > limits_.max_size)
        return Error{Errc::disk_quota_exceeded, "a payload of " + std::to_string(payload) + " bytes: the spool holds " +
                                                    std::to_string(limits_.max_size) + " bytes at most"};
    return {};
}

Result<void> SpoolLog::check_room(std::size_t count, Bytes payload_bytes) {
    const auto wanted = size_of(count, payload_bytes);
    const auto used = get_stats().size;
    if (wanted > limits_.max_size || used > limits_.max_size - wanted)
        return Error{Errc::disk_quota_exceeded, "the spool holds " + std::to_string(used) + " of " +
                                                    std::to_string(limits_.max_size) + " bytes, and is asked for " +
                                                    std::to_string(wanted) + " more"};
    const auto space = files_->space();
    if (!space) return space.error();
    const auto reserve = static_cast<Bytes>(limits_.min_free_disk * static_cast<double>(space->total));
    if (space->free < reserve || space->free - reserve < wanted)
        return Error{Errc::disk_quota_exceeded, "the spool's disk has " + std::to_string(space->free) +
                                                    " bytes free, of which " + std::to_string(reserve) +
                                                    " must stay, and the spool is asked for " + std::to_string(wanted)};
    return {};
}

Result<std::uint64_t> SpoolLog::append(std::span<const std::string_view> payloads) {
    Bytes bytes = 0;
    for (const auto payload : payloads) {
        if (auto possible = check_payload(payload.size()); !possible) return possible.error();
        bytes += payload.size();
    }
    if (auto room = check_room(payloads.size(), bytes); !room) return room.error();

    const auto first = next_; // no number comes twice, whatever becomes of it
    buffer_.clear();
    for (const auto payload : payloads) spool_format::append_frame(buffer_, next_++, payload);
    if (!is_writing_ || segments_.back().size + buffer_.size() > limits_.segment_size)
        if (auto begun = begin_segment(first); !begun) return begun.error();
    auto& settled = segments_.back().settled; // while it may still throw
    settled.resize(first - segments_.back().first, true);
    settled.resize(next_ - segments_.back().first, false);
    if (auto written = write(buffer_); !written) {
        ++stats_.failed_writes;
        give_up_segment();
        return written.error();
    }
    auto& segment = segments_.back();
    segment.size += buffer_.size();
    segment.waiting += payloads.size();
    segment.last = next_ - 1;
    return first;
}

Result<void> SpoolLog::begin_segment(std::uint64_t first) {
    is_writing_ = false;
    auto name = name_of(first);
    auto file = files_->create(name);
    if (!file) {
        ++stats_.failed_writes;
        return file.error();
    }
    segments_.push_back(Segment{.name = std::move(name), .file = std::move(*file), .first = first, .last = first - 1});
    is_writing_ = true;
    auto begun = write(spool_format::file_header);
    if (begun) begun = files_->sync();
    if (!begun) {
        ++stats_.failed_writes;
        give_up_segment();
        return begun;
    }
    segments_.back().size = header_size;
    return {};
}

Result<void> SpoolLog::write(std::string_view bytes) {
    auto& file = *segments_.back().file;
    while (!bytes.empty()) {
        const auto written = file.write(bytes);
        if (!written) return written.error();
        if (*written == 0) return Error{make_error_code(boost::system::errc::no_space_on_device)};
        bytes.remove_prefix(*written);
    }
    return file.sync();
}

// What failed must not be found behind what is right, if that can be helped; and nothing is written behind it.
void SpoolLog::give_up_segment() noexcept {
    is_writing_ = false;
    auto& segment = segments_.back();
    const bool is_cut = segment.file->truncate(segment.size).has_value();
    if (is_cut) static_cast<void>(segment.file->sync());
    if (segment.last < segment.first && files_->remove(segment.name)) segments_.pop_back();
}

auto SpoolLog::segment_of(std::uint64_t sequence) -> std::deque<Segment>::iterator {
    const auto behind =
        std::ranges::upper_bound(segments_, sequence, {}, [](const Segment& segment) { return segment.first; });
    return behind == segments_.begin() ? segments_.end() : std::prev(behind);
}

Result<std::vector<SpoolEntry>> SpoolLog::read(SpoolCursor& cursor, Bytes most) {
    std::vector<SpoolEntry> entries;
    auto at = cursor; // which stays where it is if this fails
    auto segment = segment_of(at.after_ + 1);
    if (segment == segments_.end()) segment = segments_.begin();
    for (Bytes bytes = 0; segment != segments_.end() && (entries.empty() || bytes < most); ++segment) {
        if (at.segment_ != segment->first) {
            at.segment_ = segment->first;
            at.at_ = std::min<Bytes>(header_size, segment->size);
        }
        FrameReader frames{*segment->file, at.at_, segment->size};
        for (;;) {
            auto found = frames.next();
            if (!found) return found.error();
            if (!*found) break;
            const auto& [frame, end, skipped] = **found;
            if (skipped != 0 && !segment->is_corrupt) { // since it was recovered, or written
                segment->is_corrupt = true;
                stats_.corrupt += skipped;
            }
            const bool belongs_here = frame.sequence >= segment->first && frame.sequence <= segment->last;
            if (belongs_here && frame.sequence > at.after_) {
                if (!entries.empty() && bytes + frame.payload.size() > most) {
                    cursor = at;
                    return entries;
                }
                bytes += frame.payload.size();
                entries.push_back({frame.sequence, std::string{frame.payload}});
                segment->is_corrupt |= settle_missing(*segment, at.after_, frame.sequence);
                at.after_ = frame.sequence;
            }
            at.at_ = end;
        }
        if (settle_missing(*segment, at.after_, segment->last + 1)) {
            segment->is_corrupt = true;
            stats_.corrupt += frames.skipped();
        }
    }
    cursor = at;
    static_cast<void>(remove_done()); // where nothing is left that could be read
    return entries;
}

void SpoolLog::settle(Segment& segment, std::uint64_t sequence) {
    if (sequence < segment.first || sequence > segment.last) return;
    if (auto is_settled = segment.settled[sequence - segment.first]; !is_settled) {
        is_settled = true;
        --segment.waiting;
    }
}

// Those between the two are there no more: nobody will ever be done with them. Whether there are any.
bool SpoolLog::settle_missing(Segment& segment, std::uint64_t after, std::uint64_t before) {
    const auto waiting = segment.waiting;
    for (auto sequence = std::max(after + 1, segment.first); sequence < before; ++sequence) settle(segment, sequence);
    return segment.waiting != waiting;
}

Result<void> SpoolLog::done(std::uint64_t sequence) {
    const auto segment = segment_of(sequence);
    if (segment == segments_.end()) return {};
    settle(*segment, sequence);
    return remove_done();
}

// Also those that could not be removed before.
Result<void> SpoolLog::remove_done() {
    Result<void> ended;
    for (auto segment = segments_.begin(); segment != segments_.end();) {
        if (segment->waiting != 0) {
            ++segment;
            continue;
        }
        const auto removed = segment->is_corrupt
                                 ? files_->rename(segment->name, segment->name + std::string{bad_suffix})
                                 : files_->remove(segment->name);
        if (!removed && removed.error().code() != boost::system::errc::no_such_file_or_directory) {
            ended = removed;
            ++segment;
            continue;
        }
        if (std::next(segment) == segments_.end()) is_writing_ = false;
        segment = segments_.erase(segment);
    }
    return ended;
}

SpoolStats SpoolLog::get_stats() const noexcept {
    auto stats = stats_;
    stats.segments = segments_.size();
    for (const auto& segment : segments_) {
        stats.size += segment.size;
        stats.waiting += segment.waiting;
    }
    return stats;
}

} // namespace velostream
