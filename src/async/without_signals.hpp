// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>

namespace velostream {

/// While it lives, this thread takes no signals, and threads that are started take none either: they begin with the
/// mask of the thread that starts them. Signals are the application's, and belong to the application's threads.
///
/// It is more than tidiness for librdkafka's mock cluster: its thread ends, and the brokers with it, when a handler
/// interrupts its `poll` (2.0.2, confluentinc/librdkafka#4727). The client's own threads take no signals anyway.
class WithoutSignals {
  public:
    WithoutSignals() noexcept {
        sigset_t every{};
        sigfillset(&every);
        pthread_sigmask(SIG_SETMASK, &every, &before_);
    }

    ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

    WithoutSignals(const WithoutSignals&) = delete;
    WithoutSignals& operator=(const WithoutSignals&) = delete;

  private:
    sigset_t before_{};
};

} // namespace velostream
