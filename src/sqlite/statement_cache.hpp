// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace velostream::sqlite {

/// Prepared statements by their text, as many as there is room for: the last recently used go first.
///
/// Threads: one at a time.
template <class Statement>
class StatementCache {
  public:
    explicit StatementCache(std::size_t capacity) noexcept : capacity_(capacity) {}

    /// That of this text, which is the last to go now; null if there is none. Valid until the next `insert`.
    Statement* find(std::string_view sql) {
        const auto found = by_text_.find(sql);
        if (found == by_text_.end()) return nullptr;
        entries_.splice(entries_.begin(), entries_, found->second);
        return &found->second->statement;
    }

    /// One whose text is not there yet.
    void insert(std::string sql, Statement statement) {
        if (capacity_ == 0) return;
        entries_.push_front({std::move(sql), std::move(statement)});
        by_text_.emplace(entries_.front().sql, entries_.begin());
        if (entries_.size() <= capacity_) return;
        by_text_.erase(entries_.back().sql);
        entries_.pop_back();
    }

    void clear() noexcept {
        by_text_.clear();
        entries_.clear();
    }

    std::size_t size() const noexcept { return entries_.size(); }

  private:
    struct Entry {
        std::string sql;
        Statement statement;
    };

    const std::size_t capacity_;
    std::list<Entry> entries_; // the one that was used last is the first
    std::unordered_map<std::string_view, typename std::list<Entry>::iterator> by_text_;
};

} // namespace velostream::sqlite
