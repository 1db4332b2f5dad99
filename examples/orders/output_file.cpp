// SPDX-License-Identifier: Apache-2.0
#include "output_file.hpp"

#include <filesystem>
#include <system_error>
#include <utility>

namespace orders {

namespace fs = std::filesystem;

OutputFile::OutputFile(std::optional<std::string> path) : path_(std::move(path)) {
    if (!path_) return;
    std::error_code ignored;
    existed_ = fs::exists(*path_, ignored);
    writable_ = std::ofstream{*path_, std::ios::app}.is_open();
}

OutputFile::~OutputFile() {
    std::error_code ignored;
    if (path_ && writable_ && !existed_ && !stream_.is_open()) fs::remove(*path_, ignored);
}

bool OutputFile::is(const std::string& path) const {
    std::error_code ignored;
    return path_ && fs::is_regular_file(path, ignored) && fs::equivalent(*path_, path, ignored);
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
