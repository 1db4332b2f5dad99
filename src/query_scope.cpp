// SPDX-License-Identifier: Apache-2.0
#include "velostream/query_scope.hpp"

#include <utility>

namespace velostream {

QueryScope::QueryScope(const Accounts& accounts, MemoryReservation place)
    : memory_(accounts.memory),
      state_(accounts.state),
      traffic_(accounts.traffic),
      window_records_(accounts.window_records),
      groups_(accounts.groups),
      place_account_(accounts.place),
      place_(std::move(place)) {}

} // namespace velostream
