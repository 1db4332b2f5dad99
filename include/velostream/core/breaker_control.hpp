// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "velostream/base/observer.hpp"

namespace velostream {

/// Everything that decides about a call, as one value: the state, the epoch (how many state changes there have been),
/// and in the half-open state how many probes have succeeded and how many are still out.
struct BreakerWord {
    CircuitState state = CircuitState::closed;
    std::uint32_t epoch = 0;
    std::uint16_t succeeded = 0;
    std::uint16_t in_flight = 0;

    /// Epochs wrap here. A result would have to be late by half a billion state changes to be taken for a current one.
    static constexpr std::uint32_t epochs = 1U << 29;

    constexpr std::uint64_t packed() const noexcept {
        return std::uint64_t{static_cast<std::uint8_t>(state)} << 61 | std::uint64_t{epoch} << 32 |
               std::uint64_t{succeeded} << 16 | in_flight;
    }
    static constexpr BreakerWord unpacked(std::uint64_t word) noexcept {
        return {static_cast<CircuitState>(word >> 61), static_cast<std::uint32_t>(word >> 32) & (epochs - 1),
                static_cast<std::uint16_t>(word >> 16), static_cast<std::uint16_t>(word)};
    }
    constexpr BreakerWord next(CircuitState to, std::uint16_t probes = 0) const noexcept {
        return {to, (epoch + 1) % epochs, 0, probes};
    }
    friend bool operator==(const BreakerWord&, const BreakerWord&) = default;
};

/// What became of a probe's result.
enum class ProbeVerdict : std::uint8_t {
    late,    ///< its epoch is over: it decided nothing
    counted, ///< the circuit stays half-open
    decided, ///< this result, and no other, changed the state
};

/// The control word of a circuit breaker. Every change of state is one compare-and-swap of the whole word, so exactly
/// one caller makes it, and whoever reads a state reads the epoch and the probe counts that belong to it.
///
/// Threads: safe, lock-free. A reader of a new state sees what its maker wrote before.
template <template <class> class Atomic = std::atomic>
class BreakerControl {
  public:
    /// At most `probe_limit` probes, those out and those that succeeded together; so many successes close.
    explicit BreakerControl(std::uint16_t probe_limit, std::uint32_t epoch = 0) noexcept
        : word_(BreakerWord{.epoch = epoch}.packed()), limit_(probe_limit) {}

    /// Another limit for the half-open state that comes next. Only for who makes that change, just before.
    void set_probe_limit(std::uint16_t probe_limit) noexcept { limit_.store(probe_limit, std::memory_order_relaxed); }

    // acquire: what was written before the state was published (when it opened, until when) is read after it.
    BreakerWord load() const noexcept { return BreakerWord::unpacked(word_.load(std::memory_order_acquire)); }

    /// The epoch, in the closed state; in every other state something larger than any epoch.
    std::uint32_t closed_epoch() const noexcept {
        static_assert(static_cast<int>(CircuitState::closed) == 0);
        return static_cast<std::uint32_t>(word_.load(std::memory_order_acquire) >> 32);
    }

    /// True in the closed state of `epoch`.
    bool is_closed_in(std::uint32_t epoch) const noexcept {
        return word_.load(std::memory_order_acquire) >> 32 == epoch;
    }

    std::uint16_t probe_limit() const noexcept { return limit_.load(std::memory_order_relaxed); }

    /// How many more probes `word` admits.
    std::uint16_t free_probes(const BreakerWord& word) const noexcept {
        const auto taken = std::uint32_t{word.succeeded} + word.in_flight;
        const auto limit = probe_limit();
        return taken < limit ? static_cast<std::uint16_t>(limit - taken) : std::uint16_t{0};
    }

    /// Ends `epoch` with the state `to`, in which `probes` are out. True if this call did it.
    bool change(std::uint32_t epoch, CircuitState to, std::uint16_t probes = 0) noexcept {
        return update(epoch, [&](const BreakerWord& word) { return std::optional{word.next(to, probes)}; });
    }

    /// Takes a probe permit of the half-open state of `epoch`. False if none is left or the epoch is over.
    bool admit_probe(std::uint32_t epoch) noexcept {
        return update(epoch, [&](BreakerWord word) -> std::optional<BreakerWord> {
            if (word.state != CircuitState::half_open || free_probes(word) == 0) return std::nullopt;
            ++word.in_flight;
            return word;
        });
    }

    /// Counts the success of a probe that was admitted in `epoch`; the last one that is needed closes the circuit.
    ProbeVerdict succeed_probe(std::uint32_t epoch) noexcept {
        auto verdict = ProbeVerdict::late;
        const bool updated = update(epoch, [&](BreakerWord word) {
            --word.in_flight;
            ++word.succeeded;
            const bool last = word.succeeded == probe_limit();
            verdict = last ? ProbeVerdict::decided : ProbeVerdict::counted;
            return std::optional{last ? word.next(CircuitState::closed) : word};
        });
        return updated ? verdict : ProbeVerdict::late;
    }

    /// A probe that was admitted in `epoch` failed: the circuit opens again.
    ProbeVerdict fail_probe(std::uint32_t epoch) noexcept {
        return change(epoch, CircuitState::open) ? ProbeVerdict::decided : ProbeVerdict::late;
    }

    /// A probe that was admitted in `epoch` ended without a result: somebody else may have its permit.
    ProbeVerdict return_probe(std::uint32_t epoch) noexcept {
        const bool updated = update(epoch, [](BreakerWord word) {
            --word.in_flight;
            return std::optional{word};
        });
        return updated ? ProbeVerdict::counted : ProbeVerdict::late;
    }

  private:
    // One compare-and-swap from a word of `epoch` to what `step` makes of it. False if the epoch is over or `step`
    // declines.
    template <class Step>
    bool update(std::uint32_t epoch, Step step) noexcept {
        auto seen = word_.load(std::memory_order_acquire);
        for (;;) {
            const auto word = BreakerWord::unpacked(seen);
            if (word.epoch != epoch) return false;
            const std::optional<BreakerWord> next = step(word);
            if (!next) return false;
            // release: publishes what was written about the new state; acquire: as in load.
            if (word_.compare_exchange_strong(seen, next->packed(), std::memory_order_acq_rel,
                                              std::memory_order_acquire))
                return true;
        }
    }

    // A packed `BreakerWord`. Invariants, whatever threads do:
    // * Epochs go up by one, at most one caller is told that it ended a given one, and a word of the new one holds no
    //   probes of the old.
    // * Half-open: in_flight + succeeded ≤ limit_; in_flight counts the probes that were admitted in this epoch and not
    //   told, succeeded those that were told to have succeeded. The circuit closes with the limit_-th, and by no other
    //   probe's word.
    // * In every other state no probes are counted.
    // Both counts and the epoch are in the word that is swapped, so a caller that was overtaken finds another word and
    // looks again, and one whose epoch is over changes nothing. The limit of an epoch is written before the word that
    // begins it; who reads an earlier or a later one finds another word in its swap. The swap releases, loads acquire:
    // who sees a state sees what its maker wrote before. tests/interleaving/core goes through every order of a few
    // callers.
    Atomic<std::uint64_t> word_;
    Atomic<std::uint16_t> limit_;
};

} // namespace velostream
