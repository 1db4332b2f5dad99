// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "tied_alarm.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/reclaim_plan.hpp"
#include "velostream/reclaimer.hpp"
#include "weak_list.hpp"

namespace velostream {

/// Asks reclaimers, one at a time, as long as a level of a tree of accounts lacks room that somebody wants. What is
/// wanted is counted anew before each of them: by those who wait, at the level where they do; by calls that were
/// refused; and what the process should give back because of pressure. For a level only those are asked whose account
/// lies within it.
///
/// Needs no thread of its own: `look` does the next step, on the manager's executor, and asks for the one after that
/// when a reclaimer has ended, or has not within its time.
///
/// Threads: safe. No user code runs under its mutex. Whoever wants something (`on_refused`, `is_of_use`) takes none.
class ReclaimCoordinator : public std::enable_shared_from_this<ReclaimCoordinator> {
  public:
    struct Means {
        std::function<TimePoint()> clock; ///< the one that the alarms go by
        std::function<Bytes()> excess;    ///< what the process should give back
        std::function<void()> look_soon;  ///< lets `look` be called; waits for nobody
        Duration rest;                    ///< for so long nobody is asked where nobody was left
        Duration timeout;                 ///< a reclaimer that has not ended after so long has failed
    };

    /// `executor` and `set_alarm` are for its alarms.
    ReclaimCoordinator(MemoryAccount process, const asio::any_io_executor& executor,
                       const TiedAlarm::SetAlarm& set_alarm, Means means);
    ~ReclaimCoordinator();

    std::shared_ptr<void> add(asio::any_io_executor executor, MemoryAccount account,
                              std::shared_ptr<Reclaimer> reclaimer);

    /// Whether somebody could be asked now.
    bool is_of_use() const noexcept { return has_entries_; }
    bool is_of_use(TimePoint now) const noexcept {
        return has_entries_ && now.time_since_epoch().count() >= rests_until_.load();
    }

    /// `bytes` of `account` were wanted and refused. Where there is no memory to remember that, nobody is asked. It
    /// lets `look` be called.
    void on_refused(const MemoryAccount& account, Bytes bytes) noexcept;

    /// Asks the next one, if somebody should be asked and nobody is.
    void look() noexcept;

    /// Asks nobody any more; who is being asked may go on.
    void end() noexcept;

    ReclaimStats stats() const;

  private:
    struct Entry {
        Entry(std::size_t number, asio::any_io_executor on, MemoryAccount of, std::shared_ptr<Reclaimer> whom)
            : id(number), tie(std::move(on)), account(std::move(of)), reclaimer(std::move(whom)) {}
        const std::size_t id;
        ContextTie tie; // the entry may be in our hands when its context ends
        const MemoryAccount account;
        const std::shared_ptr<Reclaimer> reclaimer;
        std::atomic<bool> is_asked{false}; // and has not ended, perhaps long after its time
    };
    struct Asked {
        std::uint64_t number;
        std::shared_ptr<Entry> entry;
        TimePoint until; // it has failed if it has not ended by then
        Bytes used_before, handed_over_before;
        Bytes freed() const noexcept;
    };
    struct Refusal {
        MemoryAccount account;
        Bytes bytes;
        Refusal* next = nullptr;
    };
    struct Need {
        const void* level;
        Bytes missing;
    };
    struct Needs {
        std::vector<Need> levels;
        bool somebody_waits = false; // or may do so
        void add(const void* level, Bytes missing);
    };
    using Entries = std::vector<std::shared_ptr<Entry>>;
    class Call;

    void look_once();
    bool is_asking(TimePoint now);
    void watch_timeout(TimePoint until) noexcept;
    Needs needs();
    void take_refusals();
    static void drop(Refusal* refusals) noexcept;
    Entries idle_entries();
    void ask(const std::shared_ptr<Entry>& entry, Bytes wanted);
    void rest(TimePoint now, bool somebody_waits) noexcept;
    void look_after_rest() noexcept;
    void on_ended(std::uint64_t number, Entry& entry, bool has_failed) noexcept;
    void locked_count(const Asked& asked, Bytes freed, bool has_failed) noexcept;

    const MemoryAccount process_;
    const Means means_;
    TiedAlarm timeout_alarm_, rest_alarm_;

    std::atomic<bool> has_entries_{false};
    std::atomic<TimePoint::rep> rests_until_;
    // Taken whole by who looks.
    std::atomic<Refusal*> refused_{nullptr};
    std::atomic<std::size_t> refused_count_{0};

    // Of who looks.
    std::vector<Refusal> refusals_; // what still lacks room

    mutable std::mutex mutex_; // guards what follows
    WeakList<Entry> entries_;
    std::size_t next_id_ = 0;
    std::optional<ReclaimPlan> plan_; // of the reclaim under way
    std::optional<Asked> asked_;
    std::uint64_t asked_count_ = 0;
    bool is_looking_ = false, must_look_again_ = false, has_ended_ = false;
    ReclaimStats stats_;
};

} // namespace velostream
