// SPDX-License-Identifier: Apache-2.0
// Asio gives a chain of coroutines its slot when it is spawned, and not later; and what a cancellation state points to
// is made by a slot, in memory that a slot takes. Neither is needed: both are reached by their members, to which no
// other way leads.
#pragma once

#include <boost/asio/cancellation_state.hpp>

#include "velostream/async/frame_memory.hpp"

namespace velostream::detail {

namespace {

template <class Of, auto Member>
struct Reached {
    friend constexpr auto member(Of) noexcept { return Member; }
};
struct OfState {
    friend constexpr auto member(OfState) noexcept;
};
template struct Reached<OfState, &asio::cancellation_state::impl_>;

template <class Member>
struct Pointed;
template <class Class, class Type>
struct Pointed<Type * Class::*> {
    using type = Type;
};
// What it points to: the kinds that have come, and the signal of what is awaited.
using StateData = Pointed<decltype(member(OfState{}))>::type;

} // namespace

} // namespace velostream::detail
