// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "one_at_a_time.hpp"
#include "velostream/async/context_tie.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/core/pressure_gauge.hpp"
#include "velostream/system_memory.hpp"
#include "weak_list.hpp"

namespace velostream {

namespace asio = boost::asio;

/// The pressure on the memory of a process: judges it, tells its listeners, and sets the marks of the process's account
/// so that whoever makes it pass one has it judged again.
///
/// Threads: safe, and none waits for another: what `judge` knows lies in atomics, and of several threads that find the
///          kernel's figures old one reads them, while the others go on with the last ones. `report` is called by the
///          thread that changed the level.
class PressureWatch final : public std::enable_shared_from_this<PressureWatch> {
  public:
    using Report = std::function<void(const PressureChanged&)>;

    /// `clock` is for `judge_anew`.
    PressureWatch(MemoryAccount process, double threshold, SystemMemoryFiles files, std::function<TimePoint()> clock,
                  Report report);

    PressureLevel level() const noexcept { return gauge_.level(); }

    /// What is left to do after a judgement, which this thread need not do.
    struct Todo {
        bool tell_listeners = false;
        bool judge_again = false;
        bool reclaim = false;                             // more is used than should be
        std::optional<TimePoint> judge_at = std::nullopt; // the level may fall then, though nothing moves
    };
    /// Judges by what is used now and what the kernel said at most 250 ms ago; where its files cannot be read, by what
    /// it said last. Where counting is not cheap, it counts four times a second as well, and goes by what is granted
    /// between: which is never less than what is used.
    Todo judge(TimePoint now) noexcept;

    struct Sight {
        SystemMemory system;
        Bytes used = 0;
        double percentage = 0;
        Todo todo;
    };
    /// The same by what the kernel says now.
    Sight judge_anew();

    /// What the process should give back.
    Bytes excess() const noexcept { return excess(process_.used()); }

    /// The limit has changed.
    void on_limit_changed() noexcept { set_marks(process_.used()); }

    std::shared_ptr<void> add_listener(asio::any_io_executor executor, std::function<void(PressureLevel)> call);
    /// Posts to them what they are owed. Where there is no memory for it they are owed it still.
    void tell_listeners() noexcept;

  private:
    struct Listener {
        Listener(asio::any_io_executor on, std::function<void(PressureLevel)> then)
            : tie(std::move(on)), call(std::move(then)) {}
        ContextTie tie; // it may be in our hands when its context ends
        const std::function<void(PressureLevel)> call;
        // Sequentially consistent, both: see tell().
        std::atomic<bool> is_owed{false};   // a change that it has not been told
        std::atomic<bool> is_posted{false}; // its call is on its way, or runs
    };

    Todo judge_by(Bytes used, TimePoint now);
    Bytes excess(Bytes used) const noexcept;
    bool claim_reading(TimePoint now) noexcept;
    SystemMemory read();
    double fraction(Bytes used) const noexcept;
    bool set_marks(Bytes used) noexcept;
    void tell_all() noexcept;
    void tell(const std::shared_ptr<Listener>& listener);
    void call(const std::shared_ptr<Listener>& listener);

    const MemoryAccount process_;
    const double threshold_;
    const SystemMemoryFiles files_;
    const std::function<TimePoint()> clock_;
    const Report report_;
    PressureGauge gauge_;

    // What the kernel said, and when; each figure for itself: any two of them are a quarter of a second apart at most.
    std::atomic<TimePoint::rep> read_at_;
    std::atomic<double> group_fraction_{0}; // of the control group, or of the time in which tasks waited for memory
    std::atomic<double> machine_fraction_{0};
    std::atomic<Bytes> target_; // what the process should come down to because of it

    std::atomic<Bytes> low_mark_{0}, high_mark_{0}; // as they were set last

    std::atomic<bool> owes_news_{false}; // of the level, to the listeners
    OneAtATime<> telling_;
    WeakList<Listener> listeners_; // gone through by who tells them
};

} // namespace velostream
