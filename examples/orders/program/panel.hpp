// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "accounting/figures.hpp"

namespace orders {

/// As much of `row` as fits into so many columns of a terminal. ASCII; colour escapes take none.
std::string cut_to_columns(std::string_view row, std::size_t columns);

/// Whether a line can be written to this descriptor without waiting for whoever reads it.
bool is_writable(int descriptor);

/// 0 to 1 in per cent, rounded down: 100 is said of what is done only.
int whole_percent(double fraction);

/// Shows how the job is doing: a small live panel on a terminal, a plain line every few seconds elsewhere. Without a
/// name in TERM, or with `dumb`, a terminal is none: its cursor cannot be moved.
class Panel {
  public:
    /// `quiet` shows nothing at all.
    explicit Panel(bool quiet);

    /// How often `show` wants to be called.
    std::chrono::milliseconds interval() const;

    /// Draws the figures, unless that would wait for whoever reads the output; `progress` is 0 to 1 where the input's
    /// length is known, `elapsed` since the start.
    void show(const Figures& figures, std::optional<double> progress, std::chrono::nanoseconds elapsed);

    /// Takes the live panel away, so that something else can be printed.
    void clear();

  private:
    void draw_panel(const Figures& figures, std::optional<double> progress, double rate);
    void print_line(const Figures& figures, std::optional<double> progress, double rate, double seconds);

    bool quiet_, terminal_, colours_;
    int rows_drawn_ = 0;
    std::uint64_t last_lines_ = 0;
    std::chrono::nanoseconds last_elapsed_{0};
};

} // namespace orders
