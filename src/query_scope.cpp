// SPDX-License-Identifier: Apache-2.0
#include "velostream/query_scope.hpp"

namespace velostream {

QueryScope::QueryScope(MemoryAccount memory, std::optional<Bytes> state_limit, std::optional<Bytes> traffic_limit,
                       MemoryReservation place)
    : memory_(std::move(memory)),
      state_(memory_.child("state", state_limit)),
      traffic_(memory_.child("traffic", traffic_limit)),
      place_(std::move(place)) {}

} // namespace velostream
