// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace velostream {

/// Entries in the order in which they came, each until its owner lets go of it.
///
/// Threads: one at a time.
template <class Entry>
class WeakList {
  public:
    void add(const std::shared_ptr<Entry>& entry) {
        forget_ended();
        entries_.push_back(entry);
    }

    /// The oldest; null if there is none.
    std::shared_ptr<Entry> first() {
        forget_ended();
        return entries_.empty() ? nullptr : entries_.front().lock();
    }

    std::vector<std::shared_ptr<Entry>> all() const {
        std::vector<std::shared_ptr<Entry>> there;
        for (const auto& weak : entries_)
            if (auto entry = weak.lock()) there.push_back(std::move(entry));
        return there;
    }

  private:
    void forget_ended() {
        std::erase_if(entries_, [](const auto& entry) { return entry.expired(); });
    }

    std::vector<std::weak_ptr<Entry>> entries_;
};

} // namespace velostream
