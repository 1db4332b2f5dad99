// SPDX-License-Identifier: Apache-2.0
#include "velostream/async_reserve.hpp"

#include <utility>

namespace velostream::detail {

std::shared_ptr<MemoryWaiter> ReserveOperation::self() {
    return std::static_pointer_cast<ReserveOperation>(shared_from_this());
}

void ReserveOperation::give_up(Errc why) {
    if (!leave(self())) return;
    finish(given_up(why, [this] { return why_waiting(); }));
}

void ReserveOperation::leave_queue() noexcept {
    leave(self());
}

} // namespace velostream::detail
