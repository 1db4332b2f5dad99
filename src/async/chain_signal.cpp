// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/chain_signal.hpp"

#include <memory>
#include <new>

#include "chain_members.hpp"

namespace velostream::detail {

namespace {

StateData& data_in(std::byte* memory) noexcept {
    return *std::launder(reinterpret_cast<StateData*>(memory));
}

} // namespace

ChainSignal::ChainSignal() noexcept {
    static_assert(sizeof(StateData) <= sizeof(state_) && alignof(StateData) <= alignof(void*));
    ::new (state_) StateData;
}

ChainSignal::~ChainSignal() {
    std::destroy_at(&data_in(state_));
}

asio::cancellation_state ChainSignal::state() noexcept {
    asio::cancellation_state state;
    state.*member(OfState{}) = &data_in(state_);
    return state;
}

void ChainSignal::emit(asio::cancellation_type kind) {
    if (signal_.slot().has_handler()) return signal_.emit(kind);
    auto& data = data_in(state_);
    data.cancelled_ = kind;
    data.signal_.emit(kind);
}

} // namespace velostream::detail
