// SPDX-License-Identifier: Apache-2.0
// A thread that is stopped by a signal, wherever it happens to be.
#pragma once

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace velostream::testing {

inline std::atomic<int> stopped{0}, may_go_on{0};

inline void stop_here(int) {
    const int number = ++stopped;
    while (may_go_on < number) continue; // all that is safe in a signal handler
}

/// The thread that is stopped again and again.
class Victim {
  public:
    template <class Work>
    explicit Victim(Work work)
        : thread_([this, work] {
              work(); // its first call takes a seat, under a lock of the C library
              has_begun_ = true;
              while (!ends_) work();
          }) {
        struct sigaction action{};
        action.sa_handler = &stop_here;
        sigaction(SIGUSR1, &action, nullptr);
        while (!has_begun_) std::this_thread::yield();
    }
    ~Victim() {
        ends_ = true;
        thread_.join();
    }
    template <class Meanwhile>
    void while_stopped(Meanwhile meanwhile) {
        const int number = stopped + 1;
        pthread_kill(thread_.native_handle(), SIGUSR1);
        while (stopped < number) std::this_thread::yield();
        meanwhile();
        may_go_on = number;
    }

  private:
    std::atomic<bool> ends_{false}, has_begun_{false};
    std::thread thread_;
};

} // namespace velostream::testing
