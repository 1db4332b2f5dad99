// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "velostream/base/item_pool.hpp"

namespace velostream {

/// The atomics that `ContextMembers` run on. Tests put others in their place, to run every interleaving.
struct ContextAtomics {
    template <class T>
    using Atomic = std::atomic<T>;
    static constexpr std::size_t items_at_once = 16;
};

/// Those who are to be told when a context ends, each from `join` until it leaves.
///
/// Nobody waits for a thread that stops in the middle. Every place is one member's until the swap of its word from
/// `joined`: to `left` by who takes it out, or to `ended` by the end; so each is let go by one of them.
///
/// Who joins puts himself there, then looks whether the end has come; the end is announced, then all places are looked
/// at: seq_cst on both sides, so one of them sees the other, and nobody stays untold.
///
/// Threads: safe. Lock-free but for the allocation of more places, whose memory stays.
template <class Atomics, class Member>
class ContextMembers {
  public:
    using Index = IndexWord::Index;

    /// Its place; 0 where the end has come before. Throws `std::bad_alloc`.
    Index join(std::shared_ptr<Member> member) {
        const auto index = places_.take();
        auto& place = places_[index];
        place.member = std::move(member);
        place.stand.store(Stand::joined);
        if (!has_ended_.load()) return index;
        return leave(index) ? 0 : index; // else it is being told
    }

    /// The member, which is told nothing any more; null if the end has come to it before.
    std::shared_ptr<Member> leave(Index index) noexcept {
        auto& place = places_[index];
        auto seen = Stand::joined;
        if (!place.stand.compare_exchange_strong(seen, Stand::left)) return nullptr;
        auto member = std::move(place.member);
        places_.give_back(index);
        return member;
    }

    /// Once: `detach(member)` for each, then `drop(member)` for those for whom that was true.
    template <class Detach, class Drop>
    void end(Detach detach, Drop drop) noexcept {
        has_ended_.store(true);
        const auto last = places_.last();
        for (Index index = 1; index <= last && index != 0; ++index) {
            auto& place = places_[index];
            auto seen = Stand::joined;
            if (place.stand.compare_exchange_strong(seen, Stand::ended) && !detach(*place.member)) place.member.reset();
        }
        for (Index index = 1; index <= last && index != 0; ++index) {
            auto& place = places_[index];
            if (place.stand.load() != Stand::ended) continue;
            if (const auto member = std::exchange(place.member, nullptr)) drop(*member);
        }
    }

  private:
    enum class Stand : std::uint8_t { left, joined, ended };

    struct Place {
        typename Atomics::template Atomic<Index> next_free{0};
        typename Atomics::template Atomic<Stand> stand{Stand::left};
        std::shared_ptr<Member> member; ///< of who joined, until `stand` changes; then of who changed it
    };

    typename Atomics::template Atomic<bool> has_ended_{false};
    ItemPool<Atomics, Place> places_;
};

} // namespace velostream
