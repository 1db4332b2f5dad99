// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

#include "velostream/base/units.hpp"

namespace velostream {

/// Runs something that may block on a thread of its own, such as the destruction of a client. The end of the program
/// waits for it, for ten seconds at most in all. Where no thread can be started it is done at once, and blocks the
/// caller; so does, while these ten seconds last, the end of a static client that is older than the first one.
///
/// Threads: safe.
void run_in_background(std::function<void()> work);

/// To be called before a client is made: then the end of the program comes to that wait after the client's end, also
/// where the client is a static. The first call decides for how long it may wait.
void begin_background(Duration patience = std::chrono::seconds{10});

/// Something that is under way elsewhere: while this lives, the end of the program waits as for work in the background.
///
/// Threads: safe.
class HoldsEndOfProgram {
  public:
    HoldsEndOfProgram();
    HoldsEndOfProgram(const HoldsEndOfProgram&) = delete;
    HoldsEndOfProgram& operator=(const HoldsEndOfProgram&) = delete;
    ~HoldsEndOfProgram();
};

} // namespace velostream
