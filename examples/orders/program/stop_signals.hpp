// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace orders {

/// SIGINT and SIGTERM, in every phase of the program: the first asks it to end, a second one ends it at once with exit
/// code 1. One object at a time.
class StopSignals {
  public:
    /// Throws `std::system_error` if the system has no descriptors left.
    StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;
    ~StopSignals();

    /// Whether one has come.
    bool requested() const;
    /// `interrupted` or `asked to stop`, whichever came first.
    const char* what() const;
    /// Readable from the first signal on, for an event loop. Belongs to this object.
    int descriptor() const { return pipe_[0]; }

  private:
    int pipe_[2];
};

} // namespace orders
