// SPDX-License-Identifier: Apache-2.0
#include "aside.hpp"

#include <atomic>
#include <thread>
#include <utility>

#include "async/without_signals.hpp"

namespace velostream::postgres {

namespace {

// Constant initialisation and no destructor: a thread may outlast everything.
constinit std::atomic<int> threads{0};

} // namespace

bool run_aside(std::function<void()> work) noexcept {
    if (++threads <= most_threads_aside) {
        try {
            const WithoutSignals for_the_thread;
            std::thread{[task = std::move(work)]() mutable {
                task();
                task = nullptr; // what it holds goes before it is counted as gone
                --threads;
            }}.detach();
            return true;
        } catch (...) { // no thread, or no memory for it
        }
    }
    --threads;
    return false;
}

} // namespace velostream::postgres
