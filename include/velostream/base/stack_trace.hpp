// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace velostream {

/// Where a thread was: one frame a line, innermost first, as `module+0xoffset`. `addr2line -Cfe <module> <offset>`
/// turns a line into a function and a place in the source; nothing is looked up in the running program.
///
/// Copies share the text.
class StackTrace {
  public:
    /// Frames beyond this number are left out.
    static constexpr int max_frames = 32;

    /// No trace.
    StackTrace() noexcept = default;

    /// The stack of the caller, without its innermost frames; empty where the platform cannot walk it. The first trace
    /// from a place costs some microseconds a frame; those that follow from the same place in the same thread find its
    /// text by comparing the return addresses on the stack, tens of nanoseconds in all.
    ///
    /// Threads: safe.
    static StackTrace capture(std::size_t frames_to_leave_out = 0) noexcept;

    /// What led to here: the stack of the caller, behind that of the throw where there is one, each below a line that
    /// says which it is.
    ///
    /// Threads: safe.
    static StackTrace capture_behind(const StackTrace& thrown_at) noexcept;

    std::string_view text() const noexcept { return text_ ? std::string_view{*text_} : std::string_view{}; }
    bool empty() const noexcept { return text().empty(); }

  private:
    explicit StackTrace(std::shared_ptr<const std::string> text) noexcept : text_(std::move(text)) {}

    std::shared_ptr<const std::string> text_;
};

} // namespace velostream
