// SPDX-License-Identifier: Apache-2.0
#include "aside.hpp"

#include <signal.h>

#include <system_error>
#include <thread>

namespace velostream::postgres {

namespace {

// Constant initialisation and no destructor: a thread may outlast everything.
constinit std::atomic<int> threads{0};

// While it lives, this thread takes no signals, and threads that are started take none either.
class WithoutSignals {
  public:
    WithoutSignals() noexcept {
        sigset_t every{};
        sigfillset(&every);
        pthread_sigmask(SIG_SETMASK, &every, &before_);
    }
    WithoutSignals(const WithoutSignals&) = delete;
    WithoutSignals& operator=(const WithoutSignals&) = delete;
    ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

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
