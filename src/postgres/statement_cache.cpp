// SPDX-License-Identifier: Apache-2.0
#include "statement_cache.hpp"

#include <algorithm>
#include <utility>

namespace velostream::postgres {

std::optional<StatementCache::Number> StatementCache::find(std::string_view sql) {
    const auto found = by_sql_.find(sql);
    if (found == by_sql_.end()) return std::nullopt;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->number;
}

StatementCache::Number StatementCache::add(std::string sql) {
    if (entries_.size() == capacity_) {
        given_up_.push_back(entries_.back().number);
        remove(std::prev(entries_.end()));
    }
    entries_.push_front({std::move(sql), ++last_});
    by_sql_.emplace(entries_.front().sql, entries_.begin());
    return last_;
}

void StatementCache::forget(Number number, bool is_there) {
    const auto entry = std::ranges::find(entries_, number, &Entry::number);
    if (entry == entries_.end()) return; // one too many by now
    if (is_there) given_up_.push_back(number);
    remove(entry);
}

void StatementCache::clear() noexcept {
    by_sql_.clear();
    entries_.clear();
    given_up_.clear();
}

void StatementCache::remove(Entries::iterator entry) {
    by_sql_.erase(entry->sql);
    entries_.erase(entry);
}

} // namespace velostream::postgres
