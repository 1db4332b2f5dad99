// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "velostream/core/budget_node.hpp"
#include "velostream/core/waiting_listener.hpp"

namespace velostream {

/// Two marks on what is granted to the root of a tree, and who is told when it is outside of them. Looked at only by
/// who takes or gives past the shards, and costs a tree without a listener one comparison there.
///
/// Orders: seq_cst, as what `granted` reads. Who sets marks and then reads `granted`, and who changes `granted` and
/// then reads the marks: one of them sees the other.
///
/// Threads: safe, but for `watch`, which comes before the tree is shared.
template <class Atomics>
class BudgetMarks {
  public:
    void watch(const BudgetNode<Atomics>& root, WaitingListener* listener) noexcept {
        root_ = &root;
        listener_ = listener;
    }

    /// From now on the listener is told at every call that leaves less than `low`, or at least `high`.
    void set(std::uint64_t low, std::uint64_t high) noexcept {
        low_.store(low);
        high_.store(high);
    }

    void heed() const noexcept {
        if (listener_ == nullptr) return;
        const auto granted = root_->granted();
        if (granted >= high_.load() || granted < low_.load()) listener_->on_mark_passed();
    }

    void heed_limit(const BudgetNode<Atomics>& changed) const noexcept {
        if (listener_ != nullptr && &changed == root_) listener_->on_limit_changed();
    }

  private:
    const BudgetNode<Atomics>* root_ = nullptr;
    WaitingListener* listener_ = nullptr; // the tree keeps it
    typename Atomics::template Atomic<std::uint64_t> low_{0}, high_{~std::uint64_t{0}};
};

} // namespace velostream
