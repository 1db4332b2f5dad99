// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "velostream/async/alarm.hpp"
#include "velostream/async/context_tie.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/core/memory_account.hpp"

namespace velostream {

/// Looks four times in `timeout`, as long as somebody waits, whether anything comes back where he waits. Where nothing
/// did for so long it reports a stall, once until something comes back. Where it finds no memory for that, it begins
/// again when the first begins to wait in one of its trees, or the last ends.
///
/// Threads: safe. It looks on its executor; no user code runs under its mutex.
class StallWatch final : public std::enable_shared_from_this<StallWatch> {
  public:
    using SetAlarm = std::function<void(Alarm&, const asio::any_io_executor&, TimePoint, Alarm::OnEnd)>;
    using Report = std::function<void(const MemoryStalled&)>;

    /// What the trees that it watches are made with.
    class Listener final : public WaitingListener {
      public:
        void watch(const std::shared_ptr<StallWatch>& watch) noexcept { watch_ = watch; }
        void on_waiting_changed() noexcept override {
            if (const auto watch = watch_.lock()) watch->adjust_soon();
        }

      private:
        std::weak_ptr<StallWatch> watch_; // set before the trees are shared
    };

    StallWatch(asio::any_io_executor executor, std::function<TimePoint()> now, SetAlarm set_alarm, Duration timeout,
               Report report)
        : now_(std::move(now)),
          set_alarm_(std::move(set_alarm)),
          timeout_(timeout),
          report_(std::move(report)),
          tie_(std::move(executor)) {}

    /// Watches the tree of this account, the root of it.
    void add(MemoryAccount root);
    /// Looks no more, and lets go of the trees.
    void end() noexcept;

    std::uint64_t stalls() const;

  private:
    struct Seen {
        std::uint64_t returned;
        TimePoint since; // nothing has come back since then
        bool is_reported;
    };
    struct Stall {
        WaitingAccount account;
        Duration lasts;
    };

    void adjust_soon() noexcept;
    void post_if_told() noexcept;
    void adjust();
    void look();
    bool locked_anyone_waits() const;
    void locked_set_alarm();
    std::vector<Stall> locked_look();

    const std::function<TimePoint()> now_;
    const SetAlarm set_alarm_;
    const Duration timeout_;
    const Report report_;
    ContextTie tie_;
    // Sequentially consistent, both: see adjust_soon.
    std::atomic<bool> is_told_{false};   // something has changed, and nobody has tried to post for it
    std::atomic<bool> is_posted_{false}; // adjust() is on its way and has not looked

    mutable std::mutex mutex_; // guards what follows
    std::vector<MemoryAccount> roots_;
    std::map<const void*, Seen> seen_;
    std::uint64_t stalls_ = 0;
    bool is_set_ = false;
    Alarm alarm_;
};

} // namespace velostream
