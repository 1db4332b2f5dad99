// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace velostream {

/// Calls and retries of the last `Buckets` buckets of time, and the decision whether one more retry fits in. Buckets
/// are numbered by the caller, from a first one that is at least `Buckets`; a caller whose number is lower than
/// another's before him counts as if he had that one's.
///
/// Exactness: a retry is granted only if, with it, the rule holds for the retries and calls of the `Buckets` buckets
///            that end with its own, whatever other threads do meanwhile. One caller at a time is granted all that the
///            rule allows; several at once may be refused what another is just giving back.
/// Threads:   safe, lock-free. A call touches one word that hardly any other thread writes.
template <template <class> class Atomic = std::atomic, std::size_t Shards = 8, std::size_t Buckets = 10>
class RetryBudgetWindow {
  public:
    using Bucket = std::uint64_t;
    static constexpr std::size_t shards = Shards;
    static constexpr std::size_t buckets = Buckets;
    static constexpr Bucket last_bucket = (Bucket{1} << 36) - 1; ///< Legal numbers end here.

    /// One more call, in `bucket`. Beyond 2²⁸ − 1 for each bucket and shard calls are not counted.
    void add_call(std::size_t shard, Bucket bucket) noexcept {
        auto& place = calls_[shard].in[bucket % Buckets];
        auto seen = place.load(std::memory_order_relaxed);
        for (;;) {
            const auto found = Count::unpacked(seen);
            if (found.bucket > bucket) return; // so late that its bucket has left the window
            const Count counted{bucket, found.bucket == bucket ? std::min(found.count + 1, most) : 1};
            if (place.compare_exchange_weak(seen, counted.packed(), std::memory_order_relaxed,
                                            std::memory_order_relaxed))
                return;
        }
    }

    /// One more retry in `bucket`, if `allows(retries, calls)` says so of the window's retries, this one included, and
    /// calls. Returns the bucket in which it counts, for `give_back`.
    template <class Rule>
    std::optional<Bucket> try_withdraw(Bucket bucket, const Rule& allows) noexcept {
        auto seen = retries_.load(std::memory_order_acquire);
        for (;;) {
            const auto found = Count::unpacked(seen);
            if (found.bucket < bucket) {
                const Count moved{bucket, found.count};
                if (!swap(retries_, seen, moved)) continue;
                seen = moved.packed();
            }
            const auto now = std::max(found.bucket, bucket);
            if (forget_before(now)) seen = retries_.load(std::memory_order_acquire);
            const auto current = Count::unpacked(seen);
            if (current.bucket != now) continue;
            if (current.count == most || !allows(current.count + 1, calls(now))) return std::nullopt;
            if (!swap(retries_, seen, Count{now, current.count + 1})) continue;
            note_retry(now);
            return now;
        }
    }

    /// A retry that was granted in `bucket` is not made.
    void give_back(Bucket bucket) noexcept {
        auto& place = retries_in_[bucket % Buckets];
        auto seen = place.load(std::memory_order_acquire);
        for (;;) {
            const auto found = Count::unpacked(seen);
            if (found.bucket != bucket || found.count == 0) return; // it has left the window
            if (swap(place, seen, Count{bucket, found.count - 1})) return release(1);
        }
    }

    /// Calls in the window that ends with `bucket`.
    std::uint64_t calls(Bucket bucket) const noexcept {
        std::uint64_t sum = 0;
        for (const auto& shard : calls_)
            for (const auto& place : shard.in) sum += in_window(place.load(std::memory_order_relaxed), bucket);
        return sum;
    }
    /// Retries in the window that ends with `bucket`; while somebody withdraws, perhaps without his.
    std::uint64_t retries(Bucket bucket) const noexcept {
        std::uint64_t sum = 0;
        for (const auto& place : retries_in_) sum += in_window(place.load(std::memory_order_relaxed), bucket);
        return sum;
    }

    /// What new retries are decided by: never less than the retries of its window.
    std::uint64_t charged() const noexcept { return Count::unpacked(retries_.load(std::memory_order_relaxed)).count; }

  private:
    static constexpr std::uint64_t most = (std::uint64_t{1} << 28) - 1;

    struct Count {
        Bucket bucket;
        std::uint64_t count;

        constexpr std::uint64_t packed() const noexcept { return bucket << 28 | count; }
        static constexpr Count unpacked(std::uint64_t word) noexcept { return {word >> 28, word & most}; }
    };
    using Word = Atomic<std::uint64_t>;

    static std::uint64_t in_window(std::uint64_t word, Bucket end) noexcept {
        const auto found = Count::unpacked(word);
        return found.bucket <= end && found.bucket + Buckets > end ? found.count : 0;
    }
    static bool swap(Word& word, std::uint64_t& seen, const Count& to) noexcept {
        return word.compare_exchange_strong(seen, to.packed(), std::memory_order_acq_rel, std::memory_order_acquire);
    }

    // Takes what has left the window that ends with `now` out of the count. True if there was anything.
    bool forget_before(Bucket now) noexcept {
        bool any = false;
        for (auto& place : retries_in_) {
            auto seen = place.load(std::memory_order_acquire);
            for (;;) {
                const auto found = Count::unpacked(seen);
                if (found.count == 0 || found.bucket + Buckets > now) break;
                if (!swap(place, seen, Count{found.bucket, 0})) continue;
                release(found.count);
                any = true;
                break;
            }
        }
        return any;
    }

    void note_retry(Bucket bucket) noexcept {
        auto& place = retries_in_[bucket % Buckets];
        auto seen = place.load(std::memory_order_acquire);
        for (;;) {
            const auto found = Count::unpacked(seen);
            if (found.bucket > bucket) return release(1); // it has left the window meanwhile
            const bool is_new = found.bucket != bucket;
            if (!swap(place, seen, Count{bucket, is_new ? 1 : found.count + 1})) continue;
            if (is_new && found.count != 0) release(found.count);
            return;
        }
    }

    void release(std::uint64_t count) noexcept { retries_.fetch_sub(count, std::memory_order_acq_rel); }

    // `retries_` is where retries are granted: the latest bucket in which anybody asked, and how many retries count. A
    // grant is one compare-and-swap of both, so nobody is granted what was free in another bucket or for another count.
    // `retries_in_` says when they leave again: a place holds the retries of one bucket, those of the bucket before in
    // the same place have left. Invariants, whatever threads do:
    // * The bucket of `retries_` never falls, and its count is the retries noted in `retries_in_`, plus those that were
    //   granted and are not noted yet, plus those that were taken out and are not released yet.
    // * A retry is released once: by whoever takes it out of its place in the swap that takes it, or by its own thread
    //   when the place has gone on to a later bucket.
    // * It is released only when it was given back, or after `retries_` had gone on to a bucket whose window no longer
    //   has it. So the count is never less than the retries of the window, and a swap that grants the next one in this
    //   window comes, in the order of changes of `retries_`, before that.
    // * The calls of a bucket in the window only grow while `retries_` stays in the window's last bucket: a sum that is
    //   out of date is too small.
    // Orders: a thread that finds a place gone on (acquire) releases after the move of `retries_` that let it go on,
    // which was made before the place was swapped (release). Calls are relaxed: they publish nothing, and whoever has
    // heard of a call by other means counts it. tests/interleaving/core goes through every order of a few callers.
    alignas(64) Word retries_{0};
    alignas(64) std::array<Word, Buckets> retries_in_{};
    struct alignas(64) Shard {
        std::array<Word, Buckets> in{};
    };
    std::array<Shard, Shards> calls_;
};

} // namespace velostream
