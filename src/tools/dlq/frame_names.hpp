// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "velostream/base/result.hpp"

namespace velostream::dlq {

/// Names the frames of stack traces: which function, and where in its source.
class FrameNames {
  public:
    /// `programs` are files with their symbols: those that the traces are of, of the same build.
    explicit FrameNames(std::vector<std::string> programs) : programs_(std::move(programs)) {}

    /// The trace with a name behind each frame that one of the programs knows: `billing+0xadd19  parse(...) at
    /// parse.cpp:120`. Asks addr2line, of the Debian package binutils; fails if that cannot be run.
    Result<std::string> named(std::string_view stack_trace) const;

  private:
    std::vector<std::string> programs_;
};

} // namespace velostream::dlq
