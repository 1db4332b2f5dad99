// SPDX-License-Identifier: Apache-2.0
#include "program/panel.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "program/report.hpp"

namespace orders {

namespace {

std::string bar(std::optional<double> progress) {
    constexpr int width = 30;
    if (!progress) return {};
    const auto fraction = std::clamp(*progress, 0.0, 1.0);
    const auto filled = static_cast<std::size_t>(fraction * width);
    return fmt::format("[{}{}] {:>3} %  ", std::string(filled, '#'), std::string(width - filled, '.'),
                       whole_percent(fraction));
}

std::string dead_letter_reasons(const Figures& figures) {
    std::string text;
    for (std::size_t reason = 0; reason < dead_reason_words.size(); ++reason)
        if (figures.dead_letters[reason] > 0)
            text += fmt::format("{}{} {}", text.empty() ? "" : ", ", dead_reason_words[reason],
                                grouped(figures.dead_letters[reason]));
    return text;
}

/// Whether what reads the output can move its cursor, which the live panel needs.
bool is_cursor_movable() {
    const char* const kind = std::getenv("TERM");
    return ::isatty(STDOUT_FILENO) == 1 && kind && *kind != '\0' && std::string_view{kind} != "dumb";
}

std::size_t terminal_columns() {
    constexpr std::size_t usual = 80;
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : usual;
}

// Whoever reads the output may stop reading, and the loop that calls this must go on: for signals, for one.
bool put(const std::string& text) {
    if (!is_writable(STDOUT_FILENO)) return false;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    return true;
}

} // namespace

bool is_writable(int descriptor) {
    pollfd output{.fd = descriptor, .events = POLLOUT, .revents = 0};
    return ::poll(&output, 1, 0) == 1 && (output.revents & POLLOUT) != 0;
}

int whole_percent(double fraction) {
    constexpr double whole = 100;
    return static_cast<int>(fraction * whole);
}

std::string cut_to_columns(std::string_view row, std::size_t columns) {
    std::string cut;
    bool in_escape = false;
    for (const char c : row) {
        in_escape = in_escape || c == '\x1b';
        if (!in_escape && columns == 0) continue; // escapes behind the edge still count: they end a colour
        if (!in_escape) --columns;
        if (c == 'm') in_escape = false;
        cut += c;
    }
    return cut;
}

Panel::Panel(bool quiet)
    : quiet_(quiet), terminal_(is_cursor_movable()), colours_(terminal_ && std::getenv("NO_COLOR") == nullptr) {}

std::chrono::milliseconds Panel::interval() const {
    return terminal_ ? std::chrono::milliseconds{100} : std::chrono::milliseconds{2'000};
}

void Panel::show(const Figures& figures, std::optional<double> progress, std::chrono::nanoseconds elapsed) {
    if (quiet_) return;
    const auto since_last = std::chrono::duration<double>(elapsed - last_elapsed_).count();
    const auto rate = since_last > 0 ? static_cast<double>(figures.lines - last_lines_) / since_last : 0.0;
    last_lines_ = figures.lines;
    last_elapsed_ = elapsed;
    if (terminal_)
        draw_panel(figures, progress, rate);
    else
        print_line(figures, progress, rate, std::chrono::duration<double>(elapsed).count());
}

void Panel::draw_panel(const Figures& figures, std::optional<double> progress, double rate) {
    const auto state_of = [this](const GuardFigures& guard) {
        const bool closed = guard.breaker == velostream::CircuitState::closed;
        return fmt::format("{}{}{}, opened {} times", colours_ ? (closed ? "\x1b[32m" : "\x1b[1;31m") : "",
                           to_string(guard.breaker), colours_ ? "\x1b[0m" : "", guard.opened);
    };
    const auto memory_bar =
        bar(figures.memory_limit == 0
                ? std::nullopt
                : std::optional{static_cast<double>(figures.memory_used) / static_cast<double>(figures.memory_limit)});
    std::string text = rows_drawn_ > 0 ? fmt::format("\x1b[{}A", rows_drawn_) : "";
    int rows = 0;
    // A row that wraps would be two, and the next drawing would begin too low.
    const auto row = [&, columns = terminal_columns()](std::string_view name, const std::string& value) {
        text += "\r\x1b[2K" + cut_to_columns(fmt::format("{:<13}{}", name, value), columns) + '\n';
        ++rows;
    };
    row("orders", fmt::format("{}{} lines, {}/s", bar(progress), grouped(figures.lines),
                              grouped(static_cast<std::uint64_t>(rate))));
    row("totals", fmt::format("{} sent, {} in flight, {} customers", grouped(figures.totals_acknowledged),
                              grouped(figures.totals_sent - figures.totals_acknowledged), grouped(figures.customers)));
    row("memory", fmt::format("{}{:.1f} of {:.0f} MiB", memory_bar, mebibytes(figures.memory_used),
                              mebibytes(figures.memory_limit)));
    row("breaker", fmt::format("{}, {} retries", state_of(figures.guard), grouped(figures.retries())));
    if (const auto& lookup = figures.lookup)
        row("look-ups",
            fmt::format("{}, {} connections, breaker {}, {} retries", grouped(lookup->found + lookup->unknown),
                        lookup->connections, state_of(lookup->guard), grouped(lookup->guard.retries)));
    row("dead letters", fmt::format("{} stored, {} in flight  {}", grouped(figures.dead_letters_total()),
                                    grouped(figures.dead_letters_in_flight), dead_letter_reasons(figures)));
    if (put(text)) rows_drawn_ = rows;
}

void Panel::print_line(const Figures& figures, std::optional<double> progress, double rate, double seconds) {
    const auto share = progress ? fmt::format("{} %, ", whole_percent(*progress)) : std::string{};
    const auto& lookup = figures.lookup;
    const auto look_ups = lookup ? fmt::format(", {} look-ups, breaker {}, {} retries", lookup->found + lookup->unknown,
                                               to_string(lookup->guard.breaker), lookup->guard.retries)
                                 : std::string{};
    put(fmt::format(
        "{:.1f} s: {}{} lines ({}/s), {} totals, {} customers, {:.1f} of {:.0f} MiB, breaker {}, {} "
        "retries, {} dead letters ({} in flight){}\n",
        seconds, share, figures.lines, static_cast<std::uint64_t>(rate), figures.totals_acknowledged, figures.customers,
        mebibytes(figures.memory_used), mebibytes(figures.memory_limit), to_string(figures.guard.breaker),
        figures.retries(), figures.dead_letters_total(), figures.dead_letters_in_flight, look_ups));
}

void Panel::clear() {
    if (rows_drawn_ > 0) put(fmt::format("\x1b[{}A\x1b[J", rows_drawn_));
    rows_drawn_ = 0;
}

} // namespace orders
