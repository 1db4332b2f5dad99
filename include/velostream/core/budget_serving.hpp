// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "velostream/core/budget_node.hpp"

namespace velostream {

/// The lines that a thread has still to look at, because it took somebody out of them or gave something back there. Who
/// gives back in the middle of serving, because one that was granted did so at once, leaves it to what serves already:
/// so the stack does not grow with those who wait.
template <class Atomics>
class BudgetServing {
  public:
    using Node = BudgetNode<Atomics>;

    explicit BudgetServing(const void* tree) noexcept
        : tree_(tree), outer_(static_cast<BudgetServing*>(Atomics::innermost_serving())) {
        Atomics::innermost_serving() = this;
    }
    BudgetServing(const BudgetServing&) = delete;
    BudgetServing& operator=(const BudgetServing&) = delete;
    ~BudgetServing() { Atomics::innermost_serving() = outer_; }

    /// What this thread is serving of that tree; null if nothing.
    static BudgetServing* of(const void* tree) noexcept {
        auto* serving = static_cast<BudgetServing*>(Atomics::innermost_serving());
        while (serving != nullptr && serving->tree_ != tree) serving = serving->outer_;
        return serving;
    }

    void note(Node& node) noexcept {
        const auto end = noted_.begin() + count_;
        if (std::find(noted_.begin(), end, &node) != end) return;
        if (count_ == noted_.size())
            is_overfull_ = true;
        else
            noted_[count_++] = &node;
    }
    /// The one that was noted first; null if there is none. So lower levels come first where they were noted first.
    Node* next() noexcept {
        if (count_ == 0) return nullptr;
        auto* const node = noted_.front();
        std::copy(noted_.begin() + 1, noted_.begin() + count_--, noted_.begin());
        return node;
    }
    /// What is noted, as one number, for the exploration.
    std::uint64_t told() const noexcept {
        std::uint64_t all = is_overfull_ ? 1 : 0;
        for (std::size_t index = 0; index < count_; ++index)
            all = (all ^ reinterpret_cast<std::uintptr_t>(noted_[index])) * 0x9e3779b97f4a7c15;
        return all;
    }
    /// Whether some were noted that are not remembered: then it can be any.
    bool take_overfull() noexcept {
        const bool was = is_overfull_;
        is_overfull_ = false;
        return was;
    }

  private:
    const void* const tree_;
    BudgetServing* const outer_; // in the same thread, of another tree
    std::array<Node*, 32> noted_{};
    std::size_t count_ = 0;
    bool is_overfull_ = false;
};

} // namespace velostream
