// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace velostream::dlq {

/// One line of a terminal that says how far something has come; `whole` is 0 where nobody knows.
std::string progress_line(std::string_view what, std::uint64_t done, std::uint64_t whole, double seconds);

/// Shows how far something has come: on standard error, if that is a terminal whose cursor can be moved, and not before
/// it has taken a moment. Elsewhere it shows nothing.
class Progress {
  public:
    explicit Progress(std::string what);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { clear(); }

    /// As often as you like: it draws ten times a second at most.
    void show(std::uint64_t done, std::uint64_t whole);
    /// Takes the line away, so that something else can be printed.
    void clear();

  private:
    using Clock = std::chrono::steady_clock;

    const std::string what_;
    const bool is_on_;
    bool is_drawn_ = false;
    const Clock::time_point began_ = Clock::now();
    Clock::time_point last_ = began_;
};

/// Columns of the terminal that standard output is; unset if it is none.
std::optional<std::size_t> output_columns();

} // namespace velostream::dlq
