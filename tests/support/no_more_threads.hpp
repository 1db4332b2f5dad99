// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>

#include <cstddef>

namespace velostream {

/// While it lives, this process can start no thread.
class NoMoreThreads {
  public:
    NoMoreThreads() {
        constexpr std::size_t more_than_there_are_addresses = std::size_t{1} << 60;
        pthread_getattr_default_np(&before_);
        pthread_attr_t huge;
        pthread_getattr_default_np(&huge);
        pthread_attr_setstacksize(&huge, more_than_there_are_addresses);
        pthread_setattr_default_np(&huge);
        pthread_attr_destroy(&huge);
    }
    ~NoMoreThreads() {
        pthread_setattr_default_np(&before_);
        pthread_attr_destroy(&before_);
    }

  private:
    pthread_attr_t before_;
};

} // namespace velostream
