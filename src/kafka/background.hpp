// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace velostream::kafka {

/// Runs something that may block on a thread of its own, such as the destruction of a client. The end of the program
/// waits for it, for ten seconds at most. Where no thread can be started, and for static clients that end after that
/// wait, it is done at once, and blocks the caller.
///
/// Threads: safe.
void run_in_background(std::function<void()> work);

} // namespace velostream::kafka
