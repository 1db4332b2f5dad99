// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "velostream/async/deadline_wheel.hpp"

namespace velostream::kafka::detail {

/// A deadline that calls a member function of its owner.
template <class Core>
class CoreDeadline final : public Deadline {
  public:
    CoreDeadline(Core& core, void (Core::*then)())
        : Deadline([](Deadline& deadline) {
              auto& self = static_cast<CoreDeadline&>(deadline);
              (self.core_.*self.then_)();
          }),
          core_(core),
          then_(then) {}

  private:
    Core& core_;
    void (Core::*then_)();
};

} // namespace velostream::kafka::detail
