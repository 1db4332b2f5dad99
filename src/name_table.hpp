// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "velostream/core/memory_account.hpp"

namespace velostream {

/// Accounts by their names. Names only come: so whoever looks for one takes no lock, and no thread waits for another.
///
/// A tree in which the next two bits of the name's hash say where to go on, so that looking for a name costs the
/// logarithm of their number. An entry is put into its empty place by compare-and-swap and stays there; where another
/// thread was faster the search goes on from what that one put there.
///
/// Orders: release for who puts an entry, acquire for who follows a link to it.
///
/// Threads: safe. Lock-free, but for what `make` takes.
class NameTable {
  public:
    NameTable() = default;
    NameTable(const NameTable&) = delete;
    NameTable& operator=(const NameTable&) = delete;
    ~NameTable() { drop(root_); }

    /// The account of that name; `make()` makes it where there is none. It stays where it is as long as the table.
    template <class Make>
    const MemoryAccount& find_or_make(std::string_view name, Make make) {
        std::unique_ptr<Entry> made;
        auto* place = &root_;
        for (std::uint64_t hash = std::hash<std::string_view>{}(name);; hash <<= bits) {
            auto* entry = place->load(std::memory_order_acquire);
            if (entry == nullptr) {
                if (!made) made = std::make_unique<Entry>(make());
                if (place->compare_exchange_strong(entry, made.get(), std::memory_order_release,
                                                   std::memory_order_acquire))
                    return made.release()->account;
            }
            if (entry->account.name() == name) return entry->account;
            place = &entry->below[hash >> (64 - bits)];
        }
    }

    /// Calls `visit(account)` for each, in no order.
    template <class Visit>
    void for_each(Visit visit) const {
        visit_below(root_, visit);
    }

  private:
    static constexpr unsigned bits = 2;
    struct Entry {
        explicit Entry(MemoryAccount of) noexcept : account(std::move(of)) {}
        const MemoryAccount account;
        std::array<std::atomic<Entry*>, std::size_t{1} << bits> below{};
    };

    template <class Visit>
    static void visit_below(const std::atomic<Entry*>& place, Visit& visit) {
        const auto* entry = place.load(std::memory_order_acquire);
        if (entry == nullptr) return;
        visit(entry->account);
        for (const auto& next : entry->below) visit_below(next, visit);
    }
    static void drop(const std::atomic<Entry*>& place) noexcept {
        const std::unique_ptr<Entry> entry{place.load(std::memory_order_acquire)};
        if (!entry) return;
        for (const auto& next : entry->below) drop(next);
    }

    std::atomic<Entry*> root_{nullptr};
};

} // namespace velostream
