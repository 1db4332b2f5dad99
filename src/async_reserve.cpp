// SPDX-License-Identifier: Apache-2.0
#include "velostream/async_reserve.hpp"

#include <utility>

namespace velostream::detail {

std::shared_ptr<MemoryWaiter> ReserveOperation::self() {
    return std::static_pointer_cast<ReserveOperation>(shared_from_this());
}

void ReserveOperation::give_up(Errc why) {
    if (!leave(self())) return;
    Error error{why};
    if (why == Errc::deadline_exceeded) error = error.with_inner(why_waiting());
    finish(std::move(error));
}

void ReserveOperation::leave_queue() noexcept {
    leave(self());
}

} // namespace velostream::detail
