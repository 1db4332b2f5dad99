// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/letter_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <utility>

#include "velostream/core/spool_frame.hpp"

namespace velostream::dlq {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view standard_stream = "-";

Error failed(const std::string& what, int number) {
    return Error{boost::system::error_code{number, boost::system::system_category()}, what};
}

// Letters hold what customers sent: for the owner only.
std::FILE* create_for_owner(const std::string& path, int flags) {
    constexpr mode_t owner_only = 0600;
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, owner_only);
    return descriptor < 0 ? nullptr : ::fdopen(descriptor, "wb");
}

// A file that nobody else has made, or has open.
std::FILE* create_new_for_owner(const std::string& path) {
    ::unlink(path.c_str()); // of a run that was killed
    return create_for_owner(path, O_EXCL);
}

// The file itself, where a link leads to one: it is that which is replaced.
std::string behind_links(const std::string& path) {
    std::error_code problem;
    const auto file = fs::canonical(path, problem);
    return problem ? path : file.string();
}

// What is no regular file, such as a pipe, has no name to rename over.
bool is_replaceable(const std::string& path) {
    std::error_code problem;
    const auto status = fs::symlink_status(path, problem);
    return status.type() == fs::file_type::not_found || status.type() == fs::file_type::regular;
}

// That the file has its name is on the disk, too.
bool sync_folder_of(const std::string& path) {
    const auto folder = fs::path{path}.parent_path();
    const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return false;
    const bool is_synced = ::fsync(descriptor) == 0;
    ::close(descriptor);
    return is_synced;
}

// The part that is being written, for whoever interrupts the program.
std::atomic<const char*> unfinished = nullptr;

extern "C" void remove_unfinished(int signal) {
    if (const char* const part = unfinished.exchange(nullptr)) ::unlink(part);
    ::raise(signal); // its default again by now: the program ends of it
}

// One part at a time. A signal that is ignored, as under nohup, stays so.
void remove_if_interrupted(const std::string& part) {
    static std::string name;
    unfinished = nullptr;
    name = part;
    unfinished = name.c_str();
    struct sigaction removal{};
    removal.sa_handler = remove_unfinished;
    removal.sa_flags = static_cast<int>(SA_RESETHAND);
    for (const int signal : std::array{SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction present{};
        ::sigaction(signal, nullptr, &present);
        if (present.sa_handler == SIG_DFL) ::sigaction(signal, &removal, nullptr);
    }
}

} // namespace

Result<LetterFileWriter> LetterFileWriter::open(const std::string& path) {
    std::FILE* file = stdout;
    std::string target = path, part;
    if (path != standard_stream) {
        target = behind_links(path);
        if (is_replaceable(target)) part = target + ".part-" + std::to_string(::getpid());
        if (!part.empty()) remove_if_interrupted(part);
        file = part.empty() ? create_for_owner(target, O_TRUNC) : create_new_for_owner(part);
        if (!file) return failed("write " + path, errno);
    }
    LetterFileWriter writer{std::move(target), std::move(part), file};
    const auto header = spool_format::file_header;
    if (std::fwrite(header.data(), 1, header.size(), file) != header.size()) return failed("write " + path, errno);
    return writer;
}

LetterFileWriter::~LetterFileWriter() {
    if (!file_ || part_.empty()) return;
    unfinished = nullptr;
    ::unlink(part_.c_str());
}

Result<void> LetterFileWriter::put(std::string_view payload) {
    frame_.clear();
    spool_format::append_frame(frame_, count_ + 1, payload);
    if (std::fwrite(frame_.data(), 1, frame_.size(), file_.get()) != frame_.size())
        return failed("write " + path_, errno);
    return {};
}

Result<void> LetterFileWriter::add(const RecordView& letter) {
    const auto payload = SpooledRecord::encoded(letter);
    if (payload.size() > spool_format::largest_payload)
        return Error{make_error_code(boost::system::errc::message_size),
                     "a letter of " + std::to_string(payload.size()) + " bytes"};
    auto written = put(payload);
    if (written) ++count_;
    return written;
}

Result<void> LetterFileWriter::finish() {
    if (auto ended = put({}); !ended) return ended;
    if (std::fflush(file_.get()) != 0) return failed("write " + path_, errno);
    if (part_.empty()) return {};
    if (::fsync(::fileno(file_.get())) != 0 || ::rename(part_.c_str(), path_.c_str()) != 0)
        return failed("write " + path_, errno);
    unfinished = nullptr;
    file_.reset();
    if (!sync_folder_of(path_)) return failed("fsync of the folder of " + path_, errno);
    return {};
}

Result<LetterFileReader> LetterFileReader::open(const std::string& path) {
    const bool is_standard = path == standard_stream;
    const std::string name = is_standard ? "standard input" : path;
    std::FILE* const file = is_standard ? stdin : std::fopen(path.c_str(), "rbe");
    if (!file) return failed("open " + name, errno);
    LetterFileReader reader{name, file};
    const auto header = spool_format::file_header;
    if (auto filled = reader.fill(header.size()); !filled) return filled.error();
    if (!reader.bytes_.starts_with(header)) return reader.damaged("is no file of letters");
    reader.at_ = header.size();
    return reader;
}

Error LetterFileReader::damaged(std::string_view how) const {
    return Error{make_error_code(boost::system::errc::illegal_byte_sequence),
                 name_ + ": " + std::string{how} + " (at byte " + std::to_string(passed_ + at_) + ")"};
}

// So many bytes from here on, or all that are left.
Result<void> LetterFileReader::fill(std::size_t wanted) {
    constexpr std::size_t chunk = std::size_t{1} << 20;
    if (bytes_.size() - at_ >= wanted) return {};
    bytes_.erase(0, at_);
    passed_ += std::exchange(at_, 0);
    while (bytes_.size() < wanted && std::feof(file_.get()) == 0) {
        const auto had = bytes_.size();
        bytes_.resize(std::max(had + chunk, std::min(wanted, had + 16 * chunk)));
        errno = 0;
        const auto read = std::fread(bytes_.data() + had, 1, bytes_.size() - had, file_.get());
        bytes_.resize(had + read);
        if (std::ferror(file_.get()) != 0) return failed("read " + name_, errno);
    }
    return {};
}

Result<std::optional<std::string_view>> LetterFileReader::next() {
    const auto rest = [this] { return std::string_view{bytes_}.substr(at_); };
    if (is_at_end_) return std::optional<std::string_view>{};
    if (auto filled = fill(spool_format::frame_header_size); !filled) return filled.error();
    if (const auto size = spool_format::frame_size(rest()))
        if (auto filled = fill(*size); !filled) return filled.error();
    const auto frame = spool_format::read_frame(rest());
    if (!frame || frame->sequence != count_ + 1) {
        const auto size = spool_format::frame_size(rest());
        const bool is_cut = rest().size() < size.value_or(spool_format::frame_header_size);
        return damaged(is_cut ? "its end is missing" : "is damaged");
    }
    if (frame->payload.empty()) {
        at_ += frame->size();
        is_at_end_ = true;
        if (auto filled = fill(1); !filled) return filled.error();
        if (!rest().empty()) return damaged("something follows its end");
        return std::optional<std::string_view>{};
    }
    ++count_;
    at_ += frame->size();
    return std::optional{frame->payload};
}

Result<std::uint64_t> checked_letters(const std::string& path) {
    auto reader = LetterFileReader::open(path);
    if (!reader) return reader.error();
    for (;;) {
        const auto payload = reader->next();
        if (!payload) return payload.error();
        if (!*payload) return reader->count();
        if (!SpooledRecord::decoded(**payload))
            return Error{make_error_code(boost::system::errc::illegal_byte_sequence),
                         path + ": letter " + std::to_string(reader->count()) + " cannot be understood"};
    }
}

} // namespace velostream::dlq
