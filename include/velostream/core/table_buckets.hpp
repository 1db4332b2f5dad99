// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace velostream {

/// Tables with fewer buckets than this keep them.
inline constexpr std::size_t fewest_buckets_given_back = 64;

/// Gives back most buckets of a hash table that has become far too large for what is in it: fewer than one entry for
/// eight buckets. To be called when entries have been removed; over all calls that costs as much as growing did. Where
/// there is no memory for a smaller table, it stays as it is until the next call.
///
/// Entries stay where they are, iterators do not.
template <class Table>
void give_back_buckets(Table& table) noexcept {
    if (table.bucket_count() < fewest_buckets_given_back || table.size() >= table.bucket_count() / 8) return;
    try {
        table.rehash(2 * table.size());
    } catch (...) {
    }
}

} // namespace velostream
