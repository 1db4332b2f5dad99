// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace velostream {

/// A counter that only operations of a budget tree raise, one operation at a time, each exactly once although several
/// threads may carry out the same operation.
///
/// `base` is the value before the operation that is being carried out: whoever helps writes it down while the operation
/// is undecided (nobody changes `value` then), and adds by compare-and-swap from it. Both only grow, so a late helper's
/// compare-and-swap fails for ever after.
template <class Atomics>
struct OperationCounter {
    typename Atomics::template Atomic<std::uint64_t> value{0};
    typename Atomics::template Atomic<std::uint64_t> base{0};
};

} // namespace velostream
