// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "velostream/core/budget_atomics.hpp"

namespace velostream {

/// Work that one thread does at a time. Who comes while another does it leaves word and waits for nobody; that one does
/// it once more. What the work changes needs no other guard.
///
/// The word counts who came since the work was begun last: who finds it 0 works, and is done when it is what it was
/// before he worked. So whoever leaves word either finds 0, or is counted before that comparison, which then fails.
///
/// Orders: seq_cst; what one worker has written the next one sees, and also what whoever left word wrote before.
///
/// Threads: safe. Lock-free; the work may come back to it.
template <class Atomics = MachineAtomics>
class OneAtATime {
  public:
    template <class Work>
    void run(Work work) noexcept {
        if (word_.fetch_add(1) != 0) return;
        std::uint64_t seen;
        do {
            seen = word_.load();
            work();
        } while (!word_.compare_exchange_strong(seen, 0));
    }

  private:
    typename Atomics::template Atomic<std::uint64_t> word_{0};
};

} // namespace velostream
