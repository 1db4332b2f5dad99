// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/lent_slot.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <memory>
#include <new>

#include "chain_members.hpp"

namespace velostream::detail {

namespace {

struct OfChain {
    friend constexpr auto member(OfChain) noexcept;
};
struct OfExecutor {
    friend constexpr auto member(OfExecutor) noexcept;
};
template struct Reached<OfChain, &CoroutineChain::cancellation_state_>;
template struct Reached<OfExecutor, &CoroutineChain::u_>;

asio::cancellation_state& state_of(CoroutineChain& chain) noexcept {
    return chain.*member(OfChain{});
}

} // namespace

const asio::any_io_executor& executor_of(CoroutineChain& chain) noexcept {
    return (chain.*member(OfExecutor{})).executor_;
}

asio::cancellation_slot LentSlot::slot() noexcept {
    static_assert(sizeof(StateData) <= sizeof(state_) && alignof(StateData) <= alignof(void*));
    auto& state = state_of(chain_);
    if (!state.slot().is_connected()) {
        if (!is_made_) ::new (state_) StateData;
        is_made_ = true;
        state.*member(OfState{}) = std::launder(reinterpret_cast<StateData*>(state_));
    }
    return state.slot();
}

void LentSlot::unmake() noexcept {
    auto& state = state_of(chain_);
    auto* const made = std::launder(reinterpret_cast<StateData*>(state_));
    if (state.*member(OfState{}) == made) state = {};
    is_made_ = false;
    std::destroy_at(made);
}

} // namespace velostream::detail
