// SPDX-License-Identifier: Apache-2.0
#include "accuracy/accuracy_report.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "accuracy/svg.hpp"

namespace velostream::bench {

namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string text_of(double value, int digits) {
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
    return buffer.data();
}
std::string text_of(std::uint64_t value) {
    return std::to_string(value);
}
double seconds(Duration time) {
    return std::chrono::duration<double>(time).count();
}
std::string text_of(const std::optional<Duration>& time) {
    return time ? text_of(seconds(*time), 1) + " s" : "-";
}
std::string share(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? "-" : text_of(100 * static_cast<double>(part) / static_cast<double>(whole), 2) + " %";
}

// The first column on the left, all others on the right of their place.
std::string aligned(const Rows& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string gap(widths[i] - row[i].size(), ' ');
            text += i == 0 ? row[i] + gap : "  " + gap + row[i];
        }
        text += '\n';
    }
    return text;
}

constexpr std::string_view grey = "#999999", black = "#222222", blue = "#0072b2", light = "#dddddd";
constexpr std::string_view red = "#d55e00", yellow = "#f0c000", dark = "#555555";

std::string_view colour_of(CircuitState state) {
    switch (state) {
        case CircuitState::closed:
            return light;
        case CircuitState::half_open:
            return yellow;
        default:
            return red;
    }
}

void draw_window(Svg& svg, const WindowResult& window, double x, double base, double height, double largest) {
    constexpr double slot = 44, bar = 18;
    const auto level = [&](double value) { return base - height * value / largest; };
    svg.text(x, base - height - 14, window.name, Svg::Anchor::start, true);
    double place = x + slot / 2;
    for (const auto& errors : window.by_recorders) {
        const auto most = static_cast<double>(errors.most);
        svg.rectangle(place - bar / 2, level(most), bar, base - level(most), blue);
        const auto bound = level(errors.recorders);
        svg.line(place - slot / 2 + 4, bound, place + slot / 2 - 4, bound, grey, true);
        svg.dot(place, level(errors.mean), black);
        svg.text(place, level(most) - 4, text_of(errors.most), Svg::Anchor::middle);
        svg.text(place, base + 16, std::to_string(errors.recorders), Svg::Anchor::middle);
        place += slot;
    }
    svg.line(x, base, place - slot / 2, base, black);
}

} // namespace

std::string to_table(const std::vector<WindowResult>& windows) {
    Rows rows{{"window", "threads", "looks", "wrong", "by 1", "by 2", "by 3", "by more", "mean", "most"}};
    for (const auto& window : windows)
        for (const auto& errors : window.by_recorders) {
            const auto off_by = [&](std::size_t error) {
                return error < errors.by_error.size() ? errors.by_error[error] : 0;
            };
            const auto more = errors.wrong - off_by(1) - off_by(2) - off_by(3);
            rows.push_back({window.name, std::to_string(errors.recorders), text_of(errors.looks),
                            share(errors.wrong, errors.looks), text_of(off_by(1)), text_of(off_by(2)),
                            text_of(off_by(3)), text_of(more), text_of(errors.mean, 3), text_of(errors.most)});
        }
    return aligned(rows);
}

std::string to_table(const std::vector<OpeningErrors>& openings) {
    Rows rows{{"threads", "circuits", "missed", "exact", "late by", "from", "to"}};
    for (const auto& errors : openings)
        rows.push_back({std::to_string(errors.recorders), text_of(errors.trials), text_of(errors.missed),
                        share(errors.exact, errors.trials), text_of(errors.mean, 2), std::to_string(errors.earliest),
                        std::to_string(errors.latest)});
    return aligned(rows);
}

std::string to_table(const std::vector<TraceResult>& results, const std::vector<Contender>& contenders) {
    std::string text;
    for (const auto& [trace, trials] : results) {
        text += trace.name + ": " + trace.story + "\n";
        Rows rows{{"", "opens after", "closes after", "false openings", "probes", "let through", "refused", "failed",
                   "amplification"}};
        for (std::size_t i = 0; i < trials.size(); ++i) {
            const auto& trial = trials[i];
            rows.push_back({"  " + contenders[i].name, text_of(trial.opened_after), text_of(trial.closed_after),
                            text_of(trial.false_openings), text_of(trial.probes), text_of(trial.attempts_in_bad),
                            text_of(trial.refused_in_good), share(trial.failed_calls, trial.calls),
                            text_of(trial.amplification(), 2)});
        }
        text += aligned(rows) + "\n";
    }
    return text;
}

std::string to_figure(const std::vector<WindowResult>& windows) {
    constexpr double panel = 250, height = 150, base = 210;
    double largest = 1;
    for (const auto& window : windows)
        for (const auto& errors : window.by_recorders)
            largest = std::max({largest, static_cast<double>(errors.recorders), static_cast<double>(errors.most)});
    Svg svg{20 + panel * static_cast<double>(windows.size()), base + 60};
    double x = 20;
    for (const auto& window : windows) {
        draw_window(svg, window, x, base, height, largest);
        x += panel;
    }
    svg.text(20, 20, "By how many failures a window was off, by the number of threads that record", Svg::Anchor::start,
             true);
    svg.text(20, base + 44,
             "bar: the most, of all looks.   dot: the mean.   dashed: as many as there are threads that record.");
    return svg.finished();
}

std::string to_figure(const std::vector<TraceResult>& results, const std::vector<Contender>& contenders) {
    constexpr double left = 130, width = 640, strip = 12, gap = 4;
    const auto rows = static_cast<double>(contenders.size());
    const auto panel = 34 + (rows + 1) * (strip + gap) + 22;
    Svg svg{left + width + 30, 44 + panel * static_cast<double>(results.size())};
    double x = left;
    const auto legend = [&](std::string_view colour, std::string_view words) {
        svg.rectangle(x, 14, strip, strip, colour);
        svg.text(x + strip + 5, 24, words);
        x += 150;
    };
    legend(dark, "sick");
    legend(red, "open");
    legend(yellow, "half-open");
    legend(light, "closed");
    double top = 44;
    for (const auto& [trace, trials] : results) {
        const auto at = [&, length = seconds(trace.duration)](Duration time) {
            return left + width * std::min(1.0, seconds(time) / length);
        };
        svg.text(left, top + 16, trace.name + ": " + trace.story, Svg::Anchor::start, true);
        double y = top + 28;
        svg.text(left - 8, y + strip - 2, "service", Svg::Anchor::end);
        svg.rectangle(left, y, width, strip, light);
        for (const auto& span : trace.bad_spans())
            svg.rectangle(at(span.from), y, at(span.until) - at(span.from), strip, dark);
        for (std::size_t i = 0; i < trials.size(); ++i) {
            y += strip + gap;
            svg.text(left - 8, y + strip - 2, contenders[i].name, Svg::Anchor::end);
            svg.rectangle(left, y, width, strip, light);
            const auto& changes = trials[i].changes;
            for (std::size_t each = 0; each < changes.size(); ++each) {
                if (changes[each].to == CircuitState::closed) continue;
                const auto end = each + 1 < changes.size() ? changes[each + 1].at : trace.duration;
                const auto from = at(changes[each].at);
                svg.rectangle(from, y, std::max(0.5, at(end) - from), strip, colour_of(changes[each].to));
            }
        }
        y += strip + 14;
        for (int tick = 0; tick <= 5; ++tick) {
            const auto time = trace.duration / 5 * tick;
            svg.text(at(time), y, text_of(seconds(time), 0) + " s", Svg::Anchor::middle);
        }
        top += panel;
    }
    return svg.finished();
}

} // namespace velostream::bench
