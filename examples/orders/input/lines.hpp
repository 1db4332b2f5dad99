// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "program/options.hpp"
#include "program/stop_signals.hpp"
#include "velostream/base/result.hpp"

namespace orders {

/// Some consecutive order lines in one piece of memory.
class LineBatch {
  public:
    static constexpr std::size_t usual_size = 256;

    /// Makes room for as much, instead of growing into it.
    void reserve(std::size_t lines, std::size_t bytes) {
        text_.reserve(bytes);
        ends_.reserve(lines);
    }
    void append(std::string_view line) {
        text_.append(line);
        ends_.push_back(text_.size());
    }
    std::size_t size() const { return ends_.size(); }
    std::size_t size_bytes() const { return text_.size() + ends_.size() * sizeof(std::size_t); }
    std::string_view operator[](std::size_t index) const {
        const auto begin = index == 0 ? 0 : ends_[index - 1];
        return std::string_view{text_}.substr(begin, ends_[index] - begin);
    }

  private:
    std::string text_;
    std::vector<std::size_t> ends_;
};

/// Where order lines come from: a file, standard input or the generator. Used by one thread, except `stop` and
/// `progress`.
class Lines {
  public:
    virtual ~Lines() = default;
    /// Appends up to `most` lines: those that are here; only where there are none it waits for more. False at the end.
    /// An error is the input's: unreadable, or a line that never ends.
    virtual velostream::Result<bool> read_some(LineBatch& batch, std::size_t most) = 0;
    /// How much of the input was read, 0 to 1; nothing where its length is unknown.
    virtual std::optional<double> progress() const = 0;
    /// Ends a wait for a silent pipe; what was read already still comes.
    virtual void stop() { stopped_ = true; }

  protected:
    bool is_stopped() const { return stopped_; }

  private:
    std::atomic<bool> stopped_{false};
};

/// Opens what the options name and checks the header line; the error says what is wrong with the input. A signal ends
/// the wait for a silent pipe, the one for its first line with `Errc::cancelled`.
velostream::Result<std::unique_ptr<Lines>> open_lines(const Options& options, const StopSignals& stop);

/// How many lines the input of these options has, by reading it once; an error as from reading it, or
/// `Errc::cancelled` after a signal.
velostream::Result<std::uint64_t> count_lines(const Options& options, const StopSignals& stop);

} // namespace orders
