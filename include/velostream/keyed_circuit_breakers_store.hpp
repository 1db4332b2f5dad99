// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/consign.hpp>
#include <boost/asio/error.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "velostream/async/time_source.hpp"
#include "velostream/circuit_breaker_events.hpp"
#include "velostream/config/keyed_circuit_breakers_config.hpp"
#include "velostream/core/accounted_memory.hpp"
#include "velostream/core/backoff_random.hpp"
#include "velostream/core/breaker_classifier.hpp"
#include "velostream/core/breaker_machine.hpp"
#include "velostream/core/breaker_report.hpp"
#include "velostream/core/pristine_keys.hpp"
#include "velostream/core/table_buckets.hpp"
#include "velostream/keyed_circuit_breakers_gate.hpp"
#include "velostream/keyed_circuit_breakers_news.hpp"
#include "velostream/keyed_circuit_breakers_setting.hpp"
#include "velostream/keyed_circuit_breakers_stats.hpp"

namespace velostream {

namespace detail {

// The entries of `KeyedCircuitBreakers`, and what decides whether one is needed.
//
// Lifetime: held by a `shared_ptr`, also by gates whose alarm is ringing; `close` before that of its user goes.
template <class Key, TimeSource Time, class Hash, class Equal>
class KeyedBreakerStore : public std::enable_shared_from_this<KeyedBreakerStore<Key, Time, Hash, Equal>> {
    using Gate = KeyedReadyGate<KeyedBreakerStore, Time>;

  public:
    using Machine = BasicBreakerMachine<ConfinedMemory>;

    KeyedBreakerStore(std::string name, const KeyedCircuitBreakersConfig& config, std::shared_ptr<Observer> observer,
                      Time time, CallClassifier classifier, MemoryAccount account, std::optional<std::uint64_t> seed)
        : max_keys_(config.max_keys),
          setting_(config.breaker),
          classifier_(std::move(classifier)),
          time_(std::move(time)),
          events_(std::move(name), config.breaker, std::move(observer)),
          memory_(account),
          pristine_(config.max_keys, account),
          shards_(AccountedAllocator<Shard>{account}) {
        if (seed) random_.seed(*seed);
        const auto shards = std::clamp<std::size_t>(config.max_keys / 64, 1, 64);
        for (std::size_t i = 0; i < shards; ++i) shards_.emplace_back(memory_);
    }

    // Mixed, since many a standard hash is the number itself.
    std::size_t hash(const Key& key) const {
        std::uint64_t mixed = hash_(key);
        mixed = (mixed ^ (mixed >> 32)) * 0x9E3779B97F4A7C15U;
        mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9U;
        return mixed ^ (mixed >> 32);
    }

    struct Admission {
        std::optional<BreakerPermit> permit;
        std::optional<Duration> retry_after;
    };
    Admission acquire(const Key& key, std::size_t hash) {
        const auto view = pristine_.look(hash);
        if (view.entries == 0) [[likely]]
            return {setting_.permit(view.epoch, time_), std::nullopt};
        return acquire_from_entry(key, hash);
    }

    // Does not throw: a permit that was given is used.
    void record(const Key& key, std::size_t hash, const BreakerPermit& permit, CallOutcomeKind kind,
                const Error* error = nullptr) noexcept {
        const bool is_judged = kind >= CallOutcomeKind::failure;
        if (!is_judged) totals_.add_undecided(kind);
        if (!permit.probe && pristine_.look(hash).entries == 0) [[likely]] {
            if (!is_judged || (kind == CallOutcomeKind::success && !setting_.is_slow(permit, time_))) return;
        }
        record_in_entry(key, hash, permit, kind, error);
    }

    CallOutcomeKind classify(const Error& error) const noexcept { return classifier_.classify(error); }
    Error refuse(std::optional<Duration> retry_after) const { return events_.refuse(retry_after); }

    CircuitState state(const Key& key, std::size_t hash) const {
        const auto look = [&](const Entry& entry) { return entry.machine.state(time_.now()); };
        return look_at(key, hash, look).value_or(CircuitState::closed);
    }

    CircuitBreakerStats get_stats(const Key& key, std::size_t hash) const {
        const auto look = [&](const Entry& entry) { return entry.machine.snapshot(time_.now()); };
        return stats_of(look_at(key, hash, look).value_or(BreakerSnapshot{}), setting_.current().config);
    }

    std::optional<OpenReason> why_open(const Key& key, std::size_t hash) const {
        const auto look = [](const Entry& entry) { return entry.opening; };
        const auto opening = look_at(key, hash, look).value_or(std::nullopt);
        return opening ? std::optional{open_reason_of(*opening)} : std::nullopt;
    }

    KeyedCircuitBreakersStats get_stats() const noexcept { return totals_.read(max_keys_); }

    void reset(const Key& key, std::size_t hash) {
        change(key, hash, IfNone::leave, [&](Entry& entry) {
            entry.machine.reset(time_.now());
            entry.opening.reset();
        });
    }

    // False if the key would need an entry, and there is no place for one.
    bool set_state(const Key& key, std::size_t hash, CircuitState to) {
        const auto if_none = to == CircuitState::closed ? IfNone::leave : IfNone::make; // closed is what it is
        return change(key, hash, if_none, [&](Entry& entry) { entry.machine.set_state(to, time_.now()); });
    }

    void reconfigure(const CircuitBreakerConfig& config) {
        setting_.change(config);
        for (auto& shard : shards_) refresh_all(shard);
    }

    // Null if there is nothing to wait for; else somebody waits, until he says `leave`.
    Result<std::shared_ptr<Gate>> join(const Key& key, std::size_t hash) try {
        if (pristine_.look(hash).entries == 0) return nullptr;
        auto& shard = shard_of(hash);
        const std::lock_guard lock{shard.mutex};
        if (shard.is_closed) return Error{asio::error::operation_aborted};
        const auto place = shard.entries.find(key);
        if (place == shard.entries.end()) return nullptr;
        auto& entry = place->second;
        if (!entry.gate) {
            if (entry.machine.admissible(time_.now()) == Gate::unlimited) return nullptr;
            entry.gate =
                std::allocate_shared<Gate>(AccountedAllocator<Gate>{memory_.account()}, this->shared_from_this(), shard,
                                           *place, hash, patience_of(setting_.current().config));
        }
        ++entry.waiting;
        return entry.gate;
    } catch (const MemoryRefusedException& refused) {
        return refused.error();
    }

    template <class Handler>
    void async_ready(const Key& key, std::size_t hash, Handler handler) {
        const auto joined = join(key, hash);
        if (!joined) {
            WaitQueue::async_no_wait(std::move(handler), joined.error().code());
        } else if (const auto& gate = *joined) {
            typename Gate::Stay stay{gate};
            gate->async_ready(asio::consign(std::move(handler), std::move(stay)));
        } else {
            WaitQueue::async_no_wait(std::move(handler));
        }
    }

    // Completes everybody who waits with `operation_aborted`.
    void close() noexcept {
        std::shared_ptr<Gate> first;
        for (auto& shard : shards_) {
            const std::lock_guard lock{shard.mutex};
            shard.is_closed = true;
            for (auto& [key, entry] : shard.entries) {
                if (!entry.gate) continue;
                entry.gate->next = std::move(first);
                first = std::move(entry.gate);
            }
        }
        while (first) {
            first->close();
            const auto closed = std::exchange(first, std::move(first->next));
        }
    }

    void on_state_change(std::function<void(const CircuitStateChanged&)> callback) {
        events_.on_state_change(std::move(callback));
    }
    std::string_view name() const noexcept { return events_.name(); }
    KeyedCircuitBreakersConfig config() const { return {.breaker = setting_.current().config, .max_keys = max_keys_}; }
    const Time& time() const noexcept { return time_; }

  private:
    friend Gate;

    struct Entry {
        Entry(const KeyedBreakerSetting::Version& setting, std::uint64_t seed, std::pmr::memory_resource& memory,
              std::uint32_t epoch)
            : machine(setting.config, seed, memory, epoch), version(setting.number) {}

        Machine machine;
        std::uint32_t version;     // of the configuration that the machine goes by
        std::uint32_t waiting = 0; // who has joined the gate and not left it
        std::shared_ptr<Gate> gate;
        std::optional<BreakerTransition> opening; // the last one
    };
    using Entries = std::pmr::unordered_map<Key, Entry, Hash, Equal>;
    using Value = typename Entries::value_type;
    using Place = typename Entries::iterator;

    // Keys of one slot are in one shard: its mutex serialises what happens to a slot.
    struct alignas(64) Shard {
        explicit Shard(std::pmr::memory_resource& memory) : entries(&memory) {}

        std::mutex mutex;
        bool is_closed = false; // the breakers have ended; guarded by the mutex
        Entries entries;
        std::size_t hand = 0; // the bucket that was looked at last for an entry to evict
        KeyedBreakerNews news;
    };

    // What is left to do when the shard's lock has been released.
    struct Duties {
        bool has_to_tell = false;
        std::shared_ptr<Gate> gate; // more calls may be admitted
        std::shared_ptr<Gate> gone; // to be destroyed: a list
    };

    Shard& shard_of(std::size_t hash) const noexcept { return shards_[pristine_.slot_of(hash) % shards_.size()]; }

    static Duration patience_of(const CircuitBreakerConfig& config) noexcept {
        return std::min<Duration>(config.timeout, std::chrono::seconds{1});
    }

    // By hand. False if there is no place for an entry that has to be made.
    enum class IfNone : std::uint8_t { leave, make };
    template <class Change>
    bool change(const Key& key, std::size_t hash, IfNone if_none, Change change_entry) {
        auto& shard = shard_of(hash);
        Duties duties;
        {
            const std::lock_guard lock{shard.mutex};
            auto place = shard.entries.find(key);
            if (place == shard.entries.end()) {
                if (if_none == IfNone::leave) return true;
                place = new_entry(shard, key, hash, pristine_.look(hash).epoch, duties);
                if (place == shard.entries.end()) return false;
            }
            auto& entry = place->second;
            change_entry(entry);
            enqueue(shard, *place, duties);
            if (can_go(entry, setting_.now_for_window(time_))) remove(shard, place, hash, duties);
        }
        see_to(shard, duties);
        return true;
    }

    // Nothing if the key has no entry.
    template <class Look>
    auto look_at(const Key& key, std::size_t hash, Look look) const
        -> std::optional<std::invoke_result_t<Look&, const Entry&>> {
        if (pristine_.look(hash).entries == 0) return std::nullopt;
        auto& shard = shard_of(hash);
        const std::lock_guard lock{shard.mutex};
        const auto place = shard.entries.find(key);
        if (place == shard.entries.end()) return std::nullopt;
        return look(place->second);
    }

    [[gnu::noinline]] Admission acquire_from_entry(const Key& key, std::size_t hash) {
        auto& shard = shard_of(hash);
        Duties duties;
        typename Machine::Admission admission;
        {
            const std::lock_guard lock{shard.mutex};
            const auto place = shard.entries.find(key);
            if (place == shard.entries.end()) return {setting_.permit(pristine_.look(hash).epoch, time_), std::nullopt};
            auto& entry = place->second;
            refresh(shard, *place, duties);
            admission.permit = entry.machine.try_acquire_closed(time_);
            if (!admission.permit) admission = entry.machine.try_acquire(time_.now());
            if (!admission.permit) totals_.add(totals_.rejected);
            if (entry.gate && admission.permit && admission.permit->probe) entry.gate->withdraw_invitation();
            if (admission.changed) enqueue(shard, *place, duties);
        }
        see_to(shard, duties);
        return {admission.permit, admission.retry_after};
    }

    [[gnu::noinline]] void record_in_entry(const Key& key, std::size_t hash, const BreakerPermit& permit,
                                           CallOutcomeKind kind, const Error* error) noexcept {
        auto& shard = shard_of(hash);
        Duties duties;
        try {
            const std::lock_guard lock{shard.mutex};
            record_locked(shard, key, hash, permit, kind, error, duties);
        } catch (...) { // no memory for an entry, or the key could not be copied
            totals_.add(totals_.untracked);
        }
        see_to(shard, duties);
    }

    void record_locked(Shard& shard, const Key& key, std::size_t hash, const BreakerPermit& permit,
                       CallOutcomeKind kind, const Error* error, Duties& duties) {
        const bool is_judged = kind >= CallOutcomeKind::failure;
        auto place = shard.entries.find(key);
        if (place == shard.entries.end()) {
            const auto epoch = pristine_.look(hash).epoch;
            if (!is_judged) return;
            if (permit.epoch != epoch) return totals_.add(totals_.late);
            if (kind == CallOutcomeKind::success && !setting_.is_slow(permit, time_)) return;
            place = new_entry(shard, key, hash, epoch, duties);
            if (place == shard.entries.end()) return totals_.add(totals_.untracked);
        }
        auto& entry = place->second;
        refresh(shard, *place, duties);
        const auto late = entry.machine.late_results();
        const auto effect = entry.machine.record(permit, kind, time_, error);
        totals_.add(totals_.late, entry.machine.late_results() - late);
        if (effect == BreakerEffect::state_changed) enqueue(shard, *place, duties);
        if (effect == BreakerEffect::permit_returned) duties.gate = entry.gate;
        const bool may_go = kind == CallOutcomeKind::success && can_go(entry, setting_.now_for_window(time_));
        if (may_go) remove(shard, place, hash, duties);
    }

    // Brings the entry to the configuration of now. Without memory for another window it goes on by the one that it
    // has, until there is: then is when it changes.
    void refresh(Shard& shard, Value& value, Duties& duties) noexcept {
        auto& entry = value.second;
        if (entry.version == setting_.number()) [[likely]]
            return;
        const auto current = setting_.current();
        try {
            const bool settled = entry.machine.reconfigure(current.config, time_.now());
            entry.version = current.number;
            if (entry.gate) entry.gate->set_patience(patience_of(current.config));
            duties.gate = entry.gate; // there may be room for more probes
            if (settled) enqueue(shard, value, duties);
        } catch (const std::bad_alloc&) { // with its next call
        }
    }

    // A few entries at a time, so that no call waits for long.
    void refresh_all(Shard& shard) noexcept {
        constexpr std::size_t most_buckets = 64, most_gates = 64;
        std::size_t bucket = 0, buckets = 0;
        for (bool is_done = false; !is_done;) {
            std::array<Duties, most_gates> duties;
            std::size_t gates = 0;
            {
                const std::lock_guard lock{shard.mutex};
                auto& entries = shard.entries;
                // Where entries have moved to other buckets all are looked at again, as far as they need it.
                if (std::exchange(buckets, entries.bucket_count()) != entries.bucket_count()) bucket = 0;
                const auto end = std::min(buckets, bucket + most_buckets);
                while (bucket < end) {
                    auto place = entries.begin(bucket);
                    for (; place != entries.end(bucket) && gates < most_gates; ++place) {
                        refresh(shard, *place, duties[gates]);
                        if (duties[gates].gate) ++gates;
                    }
                    if (place != entries.end(bucket)) break; // the rest of it comes the next time
                    ++bucket;
                }
                is_done = bucket == buckets;
            }
            for (auto& each : duties) see_to(shard, each);
        }
    }

    void see_to(Shard& shard, Duties& duties) noexcept {
        if (duties.has_to_tell) shard.news.tell(shard.mutex, events_);
        if (duties.gate) duties.gate->update();
    }

    // For gates. A circuit without an entry is closed.
    std::uint32_t admissible(Shard& shard, const Gate& gate, TimePoint now) const {
        const std::lock_guard lock{shard.mutex};
        return gate.entry ? gate.entry->second.machine.admissible(now) : Gate::unlimited;
    }
    std::optional<TimePoint> next_change(Shard& shard, const Gate& gate, TimePoint now) const {
        const std::lock_guard lock{shard.mutex};
        return gate.entry ? gate.entry->second.machine.next_change(now) : std::nullopt;
    }
    void settle(Shard& shard, Gate& gate, TimePoint now) {
        Duties duties;
        {
            const std::lock_guard lock{shard.mutex};
            if (gate.entry && gate.entry->second.machine.settle(now)) enqueue(shard, *gate.entry, duties);
        }
        see_to(shard, duties);
    }
    Result<std::shared_ptr<void>> hold_for_waiter(Bytes bytes) const { return try_hold(memory_.account(), bytes); }
    void leave(Shard& shard, Gate& gate) noexcept {
        std::shared_ptr<Gate> gone; // after the lock
        const std::lock_guard lock{shard.mutex};
        if (!gate.entry || --gate.entry->second.waiting > 0) return;
        const auto now = time_.now();
        auto& entry = gate.entry->second;
        if (entry.machine.admissible(now) == Gate::unlimited) gone = std::exchange(entry.gate, nullptr);
        if (!gone) return;
        try {
            Duties none; // of its gate there is nothing left
            if (can_go(entry, now)) remove(shard, shard.entries.find(gate.entry->first), gate.hash, none);
        } catch (...) { // the key could not be looked up: with its next success
        }
        gate.entry = nullptr;
    }

    // Whether nothing would be lost with it.
    static bool can_go(const Entry& entry, TimePoint now) {
        return entry.waiting == 0 && entry.machine.is_pristine(now);
    }

    // The end, if there is no place.
    Place new_entry(Shard& shard, const Key& key, std::size_t hash, std::uint32_t epoch, Duties& duties) {
        const bool is_full = totals_.add_key() >= max_keys_;
        try {
            if (is_full && !evict_one(shard, duties)) {
                totals_.remove_key();
                return shard.entries.end();
            }
            const auto place = shard.entries.try_emplace(key, setting_.current(), random_.next(), memory_, epoch).first;
            pristine_.enter(hash);
            return place;
        } catch (...) {
            totals_.remove_key();
            throw;
        }
    }

    // Looks at some entries of the shard, each time at the next.
    bool evict_one(Shard& shard, Duties& duties) {
        constexpr std::size_t most_buckets = 256, most_entries = 64;
        auto& entries = shard.entries;
        const auto buckets = entries.bucket_count();
        const auto now = setting_.now_for_window(time_);
        std::size_t seen = 0;
        for (std::size_t i = 0; i < std::min(buckets, most_buckets) && seen < most_entries; ++i) {
            shard.hand = (shard.hand + 1) % buckets;
            for (auto place = entries.begin(shard.hand); place != entries.end(shard.hand); ++place, ++seen) {
                if (!can_go(place->second, now)) continue;
                const auto found = entries.find(place->first);
                remove(shard, found, hash(found->first), duties);
                totals_.add(totals_.evicted);
                return true;
            }
        }
        return false;
    }

    void remove(Shard& shard, Place place, std::size_t hash, Duties& duties) noexcept {
        auto& entry = place->second;
        pristine_.leave(hash, entry.machine.epoch());
        if (entry.gate) entry.gate->entry = nullptr;
        if (entry.gate) entry.gate->next = std::exchange(duties.gone, entry.gate);
        shard.entries.erase(place);
        give_back_buckets(shard.entries);
        totals_.remove_key();
    }

    // Where there is no memory to tell of a change, it is told with the key's next.
    void enqueue(Shard& shard, Value& value, Duties& duties) noexcept {
        auto& entry = value.second;
        duties.has_to_tell = true;
        duties.gate = entry.gate;
        try {
            entry.machine.publish_transitions([&](const BreakerTransition& transition) {
                const bool opens = transition.to == CircuitState::open || transition.to == CircuitState::forced_open;
                if (opens && transition.resets == entry.machine.resets()) entry.opening = transition;
                if (entry.gate && transition.to != CircuitState::half_open) entry.gate->forget_invitations();
                shard.news.add(name(), value.first, transition);
                totals_.add_transition(transition);
            });
        } catch (...) { // also of what makes text of a key
        }
    }

    const std::size_t max_keys_;
    KeyedBreakerSetting setting_;
    const CallClassifier classifier_;
    const Time time_;
    CircuitBreakerEvents events_;
    BackoffRandom random_;
    [[no_unique_address]] Hash hash_;
    AccountedResource memory_;
    PristineKeys pristine_;
    mutable std::deque<Shard, AccountedAllocator<Shard>> shards_;
    KeyedBreakerTotals totals_;
};

} // namespace detail

} // namespace velostream
