// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "velostream/core/accounted_memory.hpp"

namespace velostream {

/// Tells keys of which nothing is known from those that have an entry somewhere, without a look at any entry: for each
/// of a number of slots, how many keys whose hash falls into it have one. Zero is certain; keys that share their slot
/// with one that has an entry are looked up in vain.
///
/// A slot also keeps the *epoch* of its keys without entries: that in which the last of them lost its entry. So a key
/// whose entry is gone is in the same closed state as before, and calls that began before its entry changed its state
/// are told from those that began after. Keys of one slot share it: a call of one may be taken for late because another
/// one's entry went meanwhile.
///
/// Threads: `look` any; `enter` and `leave` of one slot one at a time.
class PristineKeys {
  public:
    /// For about `keys` entries.
    PristineKeys(std::size_t keys, const MemoryAccount& account)
        : slots_(std::bit_ceil(std::max<std::size_t>(keys, 64)), AccountedAllocator<Slot>{account}) {}

    struct View {
        std::uint32_t entries, epoch;
    };
    View look(std::size_t hash) const noexcept {
        // acquire: who sees an entry, or that one has gone, sees what was done before.
        return unpacked(slot(hash).load(std::memory_order_acquire));
    }

    /// A key of this hash has got an entry.
    void enter(std::size_t hash) noexcept {
        auto [entries, epoch] = look(hash);
        slot(hash).store(packed({entries + 1, epoch}), std::memory_order_release);
    }

    /// It has lost it, in `epoch`.
    void leave(std::size_t hash, std::uint32_t epoch) noexcept {
        const auto view = look(hash);
        slot(hash).store(packed({view.entries - 1, std::max(view.epoch, epoch)}), std::memory_order_release);
    }

    /// The slot's number. Whoever serialises calls for a slot can go by it.
    std::size_t slot_of(std::size_t hash) const noexcept { return hash & (slots_.size() - 1); }

  private:
    using Slot = std::atomic<std::uint64_t>; // the epoch, and in the lower half how many entries

    static View unpacked(std::uint64_t word) noexcept {
        return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
    }
    static std::uint64_t packed(View view) noexcept { return std::uint64_t{view.epoch} << 32 | view.entries; }

    Slot& slot(std::size_t hash) noexcept { return slots_[slot_of(hash)]; }
    const Slot& slot(std::size_t hash) const noexcept { return slots_[slot_of(hash)]; }

    std::vector<Slot, AccountedAllocator<Slot>> slots_; // a power of two
};

} // namespace velostream
