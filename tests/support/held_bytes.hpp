// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "velostream/base/units.hpp"

namespace velostream::testing {

/// What threads hold of an account, counted by themselves: after a reservation was granted, and before it is given
/// back.
class HeldBytes {
  public:
    void add(Bytes bytes, Bytes most) {
        if (bytes_.fetch_add(bytes) + bytes > most) exceeded_ = true;
    }
    void subtract(Bytes bytes) { bytes_.fetch_sub(bytes); }
    bool exceeded() const { return exceeded_; }

  private:
    std::atomic<Bytes> bytes_{0};
    std::atomic<bool> exceeded_{false};
};

} // namespace velostream::testing
