// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/spool_segment.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace velostream::dlq {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view suffix = ".spool";
constexpr std::size_t digits = 20;

bool is_segment(std::string_view name) {
    return name.size() == digits + suffix.size() && name.ends_with(suffix) &&
           name.find_first_not_of("0123456789") == digits;
}

struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

Error unreadable(const std::string& what, int number) {
    return Error{boost::system::error_code{number, boost::system::system_category()}, what};
}

Result<void> write_all(SpoolFile& file, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto written = file.write(bytes);
        if (!written) return written.error();
        if (*written == 0) return Error{make_error_code(boost::system::errc::no_space_on_device)};
        bytes.remove_prefix(*written);
    }
    return file.sync();
}

} // namespace

Segment::Segment(std::string name, std::string_view bytes)
    : name_(std::move(name)), bytes_(bytes.begin(), bytes.end()) {
    std::string_view rest{bytes_.data(), bytes_.size()};
    if (rest.starts_with(spool_format::file_header)) rest.remove_prefix(spool_format::file_header.size());
    while (!rest.empty()) {
        const auto frame = spool_format::read_frame(rest);
        if (frame) {
            frames_.push_back(*frame);
            rest.remove_prefix(frame->size());
            continue;
        }
        const auto skipped = spool_format::find_frame(rest);
        (skipped == rest.size() ? torn_ : damaged_) += skipped;
        rest.remove_prefix(skipped);
    }
}

Bytes damage_of(const Segment& segment, bool is_last) noexcept {
    return segment.damaged() + (is_last ? 0 : segment.torn());
}

std::vector<std::string> segment_names(std::vector<std::string> names) {
    std::erase_if(names, [](const std::string& name) { return !is_segment(name); });
    std::ranges::sort(names);
    return names;
}

Result<std::vector<std::string>> segments_of(const fs::path& spool) {
    std::error_code code;
    std::vector<std::string> names;
    for (fs::directory_iterator entry{spool, code}, end; !code && entry != end; entry.increment(code))
        names.push_back(entry->path().filename().string());
    if (code) return Error{code}.with_detail("list " + spool.string());
    return segment_names(std::move(names));
}

Result<std::optional<Segment>> read_segment(const fs::path& spool, const std::string& name) {
    constexpr std::size_t chunk = std::size_t{1} << 20;
    const auto path = spool / name;
    const std::unique_ptr<std::FILE, Close> file{std::fopen(path.c_str(), "rbe")};
    if (!file) {
        if (errno == ENOENT) return std::optional<Segment>{};
        return unreadable("open " + path.string(), errno);
    }
    std::string bytes;
    while (std::feof(file.get()) == 0) {
        const auto had = bytes.size();
        bytes.resize(had + chunk);
        bytes.resize(had + std::fread(bytes.data() + had, 1, chunk, file.get()));
        if (std::ferror(file.get()) != 0) return unreadable("read from " + path.string(), errno);
    }
    return std::optional{Segment{name, bytes}};
}

Result<LockedSpool> LockedSpool::open(const fs::path& spool) {
    std::error_code code;
    if (!fs::is_directory(spool, code))
        return Error{make_error_code(boost::system::errc::no_such_file_or_directory),
                     "there is no spool " + spool.string()};
    auto files = open_spool_folder(spool);
    if (!files) return files.error();
    return LockedSpool{std::move(*files)};
}

Result<std::vector<std::string>> LockedSpool::segments() {
    auto names = files_->names();
    if (!names) return names.error();
    return segment_names(std::move(*names));
}

Result<Segment> LockedSpool::read(const std::string& name) {
    const auto file = files_->open(name);
    if (!file) return file.error();
    const auto size = (*file)->size();
    if (!size) return size.error();
    const auto bytes = (*file)->read(0, *size);
    if (!bytes) return bytes.error();
    return Segment{name, *bytes};
}

Result<void> LockedSpool::keep(const Segment& segment, std::span<const spool_format::Frame> frames) {
    if (frames.empty()) {
        if (auto removed = files_->remove(segment.name()); !removed) return removed;
        return files_->sync();
    }
    std::string bytes{spool_format::file_header};
    for (const auto& frame : frames) spool_format::append_frame(bytes, frame.sequence, frame.payload);
    return replace(segment.name(), bytes);
}

Result<void> LockedSpool::set_aside(const Segment& segment) {
    return replace(segment.name() + ".bad", segment.bytes());
}

Result<void> LockedSpool::replace(const std::string& name, std::string_view bytes) {
    const auto part = name + ".part";
    static_cast<void>(files_->remove(part)); // of a run that was killed
    const auto file = files_->create(part);
    if (!file) return file.error();
    auto done = write_all(**file, bytes);
    if (done) done = files_->rename(part, name);
    if (done) return files_->sync();
    static_cast<void>(files_->remove(part));
    return done;
}

} // namespace velostream::dlq
