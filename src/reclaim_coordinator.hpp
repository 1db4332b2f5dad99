// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "one_at_a_time.hpp"
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
/// Threads: safe, and none waits for another: one at a time looks, and all that changes meanwhile is his but for
///          atomics. Reclaimers of which nobody knows any more end with whoever looks.
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

    /// Of no one moment.
    ReclaimStats stats() const noexcept;

  private:
    struct Entry {
        Entry(std::size_t number, asio::any_io_executor on, MemoryAccount of, std::shared_ptr<Reclaimer> whom)
            : id(number), tie(std::move(on)), account(std::move(of)), reclaimer(std::move(whom)) {}
        const std::size_t id;
        ContextTie tie; // the entry may be in our hands when its context ends
        const MemoryAccount account;
        const std::shared_ptr<Reclaimer> reclaimer;
        bool is_known = false;             // to who looks
        std::atomic<bool> is_asked{false}; // and has not ended, perhaps long after its time
    };
    struct Asked {
        Asked(std::shared_ptr<Entry> whom, TimePoint at_most) noexcept
            : entry(std::move(whom)),
              until(at_most),
              used_before(entry->account.used()),
              handed_over_before(entry->account.handed_over()) {}
        void end(bool has_failed) noexcept;

        enum class Stand : std::uint8_t { asked, succeeded, failed };
        const std::shared_ptr<Entry> entry;
        const TimePoint until; // it has failed if it has not ended by then
        const Bytes used_before, handed_over_before;
        Bytes freed = 0; // written before it ended
        std::atomic<Stand> stand{Stand::asked};
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

    // All of these only by who looks.
    void look_once() noexcept;
    void ask_next();
    bool is_asking(TimePoint now);
    void watch_timeout(TimePoint until) noexcept;
    Needs needs();
    void take_refusals();
    Entries idle_entries();
    void ask(const std::shared_ptr<Entry>& entry, Bytes wanted);
    void rest(TimePoint now, bool somebody_waits) noexcept;
    void end_rest() noexcept;
    void look_after_rest() noexcept;
    void count(const Asked& asked, Bytes freed, bool has_failed) noexcept;
    void end_reclaim() noexcept;

    static void drop(Refusal* refusals) noexcept;

    const MemoryAccount process_;
    const Means means_;
    TiedAlarm timeout_alarm_, rest_alarm_;

    std::atomic<bool> has_entries_{false};
    std::atomic<TimePoint::rep> rests_until_;
    // Taken whole by who looks.
    std::atomic<Refusal*> refused_{nullptr};
    std::atomic<std::size_t> refused_count_{0};

    std::atomic<std::size_t> entry_count_{0}; // that ever came
    std::atomic<bool> has_ended_{false};

    struct {
        std::atomic<std::uint64_t> reclaims{0}, asked{0}, failed{0}, reclaimed_bytes{0};
        std::atomic<bool> is_running{false};
    } counts_; // relaxed

    OneAtATime<> looking_;
    WeakList<Entry> entries_;         // gone through by who looks, to whom belongs what follows
    std::vector<Refusal> refusals_;   // what still lacks room
    std::optional<ReclaimPlan> plan_; // of the reclaim under way
    std::shared_ptr<Asked> asked_;
};

} // namespace velostream
