// SPDX-License-Identifier: Apache-2.0
#include "tools/dlq/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tools/dlq/shown.hpp"

namespace velostream::dlq {

namespace {

std::optional<std::size_t> columns_of(int descriptor) {
    constexpr std::size_t usual = 80;
    if (::isatty(descriptor) != 1) return std::nullopt;
    winsize size{};
    return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : usual;
}

bool is_cursor_movable(int descriptor) {
    const char* const kind = std::getenv("TERM");
    return ::isatty(descriptor) == 1 && kind && *kind != '\0' && std::string_view{kind} != "dumb";
}

} // namespace

std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t whole, double seconds) {
    const auto rate = seconds > 0 ? static_cast<std::uint64_t>(static_cast<double>(done) / seconds) : 0;
    if (whole == 0) return fmt::format("{}: {}, {}/s", what, grouped(done), grouped(rate));
    constexpr std::size_t width = 30;
    constexpr std::uint64_t percent = 100;
    const auto part = std::min(done, whole);
    const auto filled = static_cast<std::size_t>(static_cast<double>(part) / static_cast<double>(whole) * width);
    return fmt::format("{} [{}{}] {:>3} %  {} of {}, {}/s", what, std::string(filled, '#'),
                       std::string(width - filled, '.'), part * percent / whole, grouped(done), grouped(whole),
                       grouped(rate));
}

Progress::Progress(std::string what) : what_(std::move(what)), is_on_(is_cursor_movable(STDERR_FILENO)) {}

void Progress::show(std::uint64_t done, std::uint64_t whole) {
    constexpr std::chrono::milliseconds between_drawings{100};
    if (!is_on_) return;
    const auto now = Clock::now();
    if (now - last_ < between_drawings) return;
    last_ = now;
    const auto line = progress_line(what_, done, whole, std::chrono::duration<double>(now - began_).count());
    const auto width = columns_of(STDERR_FILENO).value_or(0);
    std::fprintf(stderr, "\r\x1b[2K%s", cut_to_columns(line, width > 0 ? width - 1 : 0).c_str());
    is_drawn_ = true;
}

void Progress::clear() {
    if (is_drawn_) std::fputs("\r\x1b[2K", stderr);
    is_drawn_ = false;
}

std::optional<std::size_t> output_columns() {
    return columns_of(STDOUT_FILENO);
}

} // namespace velostream::dlq
