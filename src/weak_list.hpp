// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "velostream/core/budget_atomics.hpp"

namespace velostream {

/// Entries in the order in which they came, each until its owner lets go of it.
///
/// A list that anybody puts himself at the head of, by compare-and-swap, and one thread at a time goes through. What
/// ended is taken out by that one, but for the head, which others may be about to put themselves before: so a node's
/// link is written by who puts it in, before anybody sees it, and from then on only by who goes through.
///
/// Orders: seq_cst, so that who comes finds what he wrote next overwritten only by one who then finds him here.
///
/// Threads: `add` is safe, and lock-free but for the allocation of memory; of the rest one at a time.
template <class Entry, class Atomics = MachineAtomics>
class WeakList {
  public:
    WeakList() = default;
    WeakList(const WeakList&) = delete;
    WeakList& operator=(const WeakList&) = delete;
    ~WeakList() {
        for (auto* node = head_.load(); node != nullptr;) delete std::exchange(node, node->next);
    }

    void add(const std::shared_ptr<Entry>& entry) { put(std::make_unique<Node>(Node{entry})); }

    /// The oldest first.
    std::vector<std::shared_ptr<Entry>> all() {
        std::vector<std::shared_ptr<Entry>> there;
        auto* node = head_.load();
        for (Node* before = nullptr; node != nullptr;) {
            if (auto entry = node->entry.lock()) {
                there.push_back(std::move(entry));
            } else if (before != nullptr) {
                before->next = node->next;
                delete std::exchange(node, before->next);
                continue;
            }
            before = std::exchange(node, node->next);
        }
        std::ranges::reverse(there);
        return there;
    }

  private:
    struct Node {
        std::weak_ptr<Entry> entry;
        Node* next = nullptr;
    };

    void put(std::unique_ptr<Node> node) noexcept {
        node->next = head_.load();
        while (!head_.compare_exchange_weak(node->next, node.get())) continue;
        static_cast<void>(node.release());
    }

    typename Atomics::template Atomic<Node*> head_{nullptr};
};

} // namespace velostream
