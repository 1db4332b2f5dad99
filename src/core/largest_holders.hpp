// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "velostream/core/memory_account.hpp"

namespace velostream {

/// Who holds most of what `level` has granted, for its refusal of `account`: `; largest: groups 500, process itself
/// 300, sends 100`. The level itself and the accounts right below it; what is further down counts in these. Empty where
/// nothing is held, or all by `account` itself. In a tree of more than 4096 accounts: the largest accounts of those
/// that this call and the ones before it looked at, `; largest seen of 9000 accounts: a 500, b 300, c 200`.
///
/// Waits for nobody. The caller must own `account`.
std::string largest_holders(const BudgetNode<MachineAtomics>& account, const BudgetNode<MachineAtomics>& level);

} // namespace velostream
