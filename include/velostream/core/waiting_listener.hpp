// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace velostream {

class MemoryAccount;

/// Is told what happens in a tree of limits, by whichever thread it happens to.
///
/// Threads: called from any thread, in the middle of a call that takes or gives: it must not block, nor use the tree.
class WaitingListener {
  public:
    virtual ~WaitingListener() = default;
    /// Somebody waits where nobody waited in the whole tree, or nobody waits any more.
    virtual void on_waiting_changed() noexcept = 0;
    /// At some node another one waits longest now than before, or the first.
    virtual void on_first_changed() noexcept {}
    /// What is granted to the root is outside of the marks that were set.
    virtual void on_mark_passed() noexcept {}
    /// `units` of `account` were wanted by a call that does not wait, and refused for want of room. At the end of that
    /// call: this one may use the tree.
    virtual void on_refused(const MemoryAccount&, std::uint64_t) noexcept {}
    /// The root's limit was changed. At the end of the call that did: this one may use the tree.
    virtual void on_limit_changed() noexcept {}
};

} // namespace velostream
