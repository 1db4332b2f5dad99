// SPDX-License-Identifier: Apache-2.0
#include "call.hpp"

#include "connection_core.hpp"

namespace velostream::sqlite {

void Call::end_within(Duration patience, Errc why) {
    const asio::any_io_executor executor = asio::prefer(this->executor(), asio::execution::outstanding_work.untracked);
    auto rings = [weak = weak_from_this(), why](AlarmEnd how) {
        const auto alive = weak.lock();
        if (how != AlarmEnd::rang || !alive) return;
        auto& self = static_cast<Call&>(*alive);
        self.core_->lose_patience(self, why);
    };
    patience_ends.set(SteadyTime{}, executor, saturating_add(SteadyTime{}.now(), patience), std::move(rings));
}

void Call::give_up(Errc why) {
    core_->give_up(*this, why);
}

void Call::leave_queue() noexcept {
    core_->leave(*this);
}

} // namespace velostream::sqlite
