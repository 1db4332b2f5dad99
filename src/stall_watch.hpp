// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "tied_alarm.hpp"
#include "velostream/async/errand.hpp"
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
    using Report = std::function<void(const MemoryStalled&)>;

    /// What the trees that it watches are made with.
    class Listener final : public WaitingListener {
      public:
        void watch(const std::shared_ptr<StallWatch>& watch) noexcept { watch_ = watch; }
        void on_waiting_changed() noexcept override { tell(watch_); }
        static void tell(const std::weak_ptr<StallWatch>& to) noexcept {
            if (const auto watch = to.lock()) watch->adjusting_->soon();
        }

      private:
        std::weak_ptr<StallWatch> watch_; // set before the trees are shared
    };

    StallWatch(std::function<TimePoint()> now, Duration timeout, Report report)
        : now_(std::move(now)), timeout_(timeout), report_(std::move(report)) {}
    /// Once, before anybody knows it.
    void begin(const asio::any_io_executor& executor, const TiedAlarm::SetAlarm& set_alarm);

    /// Watches the tree of this account, the root of it.
    void add(MemoryAccount root);
    /// Looks no more, and lets go of the trees.
    void end() noexcept;

    std::uint64_t stalls() const noexcept { return stalls_.load(std::memory_order_relaxed); }

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

    void adjust();
    void look();
    bool locked_anyone_waits() const;
    void locked_set_alarm();
    std::vector<Stall> locked_look();

    const std::function<TimePoint()> now_;
    const Duration timeout_;
    const Report report_;
    std::shared_ptr<Errand> adjusting_;
    std::optional<TiedAlarm> alarm_;

    std::atomic<std::uint64_t> stalls_{0}; // relaxed: a count

    std::mutex mutex_; // guards what follows
    std::vector<MemoryAccount> roots_;
    std::map<const void*, Seen> seen_;
};

} // namespace velostream
