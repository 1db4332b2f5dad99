// SPDX-License-Identifier: Apache-2.0
#include "program/output_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

namespace orders {

namespace fs = std::filesystem;

namespace {

// What is no regular file must not be opened just to see: the reader of a pipe would take the closing for the end.
bool can_be_written(const std::string& path) {
    std::error_code problem;
    const bool is_new = !fs::exists(path, problem);
    if (!is_new && fs::is_directory(path, problem)) return false;
    if (!is_new && !fs::is_regular_file(path, problem)) return ::access(path.c_str(), W_OK) == 0;
    constexpr mode_t everybody = 0666;
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, everybody);
    if (descriptor < 0) return false;
    ::close(descriptor);
    if (is_new) fs::remove(fs::canonical(path, problem), problem); // where a link leads, not the link
    return true;
}

// Where a file is or would be made, behind links that lead nowhere yet.
fs::path full_path(fs::path path) {
    constexpr int most_links = 40; // as many as the system follows
    std::error_code ignored;
    for (int links = 0; links < most_links && fs::is_symlink(path, ignored); ++links)
        path = path.parent_path() / fs::read_symlink(path, ignored);
    return fs::weakly_canonical(fs::absolute(path, ignored), ignored);
}

bool write(const fs::path& path, const std::string& text) {
    std::ofstream stream{path, std::ios::trunc};
    stream << text << std::flush;
    return stream.good();
}

} // namespace

OutputFile::OutputFile(std::optional<std::string> path) : path_(std::move(path)) {
    if (path_) writable_ = can_be_written(*path_);
}

bool OutputFile::is(const std::string& path) const {
    std::error_code ignored;
    if (!path_) return false;
    const bool is_there = fs::exists(path, ignored), are_we = fs::exists(*path_, ignored);
    if (is_there && are_we) return fs::is_regular_file(path, ignored) && fs::equivalent(*path_, path, ignored);
    return !is_there && !are_we && full_path(path) == full_path(*path_);
}

bool OutputFile::replace_by(const std::string& text) {
    if (!path_) return true;
    std::error_code problem;
    const bool is_new = !fs::exists(*path_, problem);
    // A link that leads nowhere yet is no name to rename over.
    const bool can_be_renamed_over = is_new ? !fs::is_symlink(*path_, problem) : fs::is_regular_file(*path_, problem);
    if (!can_be_renamed_over) return write(*path_, text);

    const auto target = full_path(*path_);
    auto part = target;
    part += ".part-" + std::to_string(::getpid());
    if (!std::ofstream{part, std::ios::app}.is_open()) return write(*path_, text); // a folder that takes no new file
    bool done = write(part, text);
    if (done && !is_new) fs::permissions(part, fs::status(target, problem).permissions(), problem);
    if (done) fs::rename(part, target, problem);
    done = done && !problem;
    if (!done) fs::remove(part, problem);
    return done;
}

std::ofstream* OutputFile::begin() {
    if (!path_) return nullptr;
    stream_.open(*path_, std::ios::trunc);
    return &stream_;
}

bool OutputFile::finish() {
    if (stream_.is_open()) stream_.flush();
    return stream_.good();
}

} // namespace orders
