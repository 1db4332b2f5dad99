// SPDX-License-Identifier: Apache-2.0
#include "reclaim_coordinator.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

namespace velostream {

// The next step of a reclaim, which somebody's executor is to make. One that is destroyed with its context, or that
// fails for want of memory, ends the reclaim.
class ReclaimCoordinator::Step {
  public:
    explicit Step(std::shared_ptr<ReclaimCoordinator> coordinator) noexcept : coordinator_(std::move(coordinator)) {}
    Step(Step&&) noexcept = default;
    Step& operator=(Step&&) = delete;
    ~Step() {
        if (coordinator_) coordinator_->give_up();
    }

    void operator()() {
        coordinator_->ask_next();
        coordinator_.reset();
    }

  private:
    std::shared_ptr<ReclaimCoordinator> coordinator_;
};

// One call of a reclaimer.
class ReclaimCoordinator::Call {
  public:
    Call(std::shared_ptr<ReclaimCoordinator> coordinator, std::shared_ptr<Entry> entry)
        : next_(coordinator),
          coordinator_(std::move(coordinator)),
          entry_(std::move(entry)),
          used_before_(entry_->account.used()) {}

    void operator()(const std::exception_ptr& thrown) {
        coordinator_->on_ended(*entry_, used_before_, thrown != nullptr);
        next_();
    }

  private:
    Step next_;
    std::shared_ptr<ReclaimCoordinator> coordinator_;
    std::shared_ptr<Entry> entry_;
    Bytes used_before_;
};

std::shared_ptr<void> ReclaimCoordinator::add(asio::any_io_executor executor, MemoryAccount account,
                                              std::shared_ptr<Reclaimer> reclaimer) {
    const std::scoped_lock lock{mutex_};
    auto entry =
        std::make_shared<Entry>(Entry{next_id_++, std::move(executor), std::move(account), std::move(reclaimer)});
    entries_.add(entry);
    return entry;
}

void ReclaimCoordinator::request(Bytes target) {
    std::shared_ptr<Entry> first;
    {
        const std::scoped_lock lock{mutex_};
        if (plan_) {
            target_ = std::min(target_, target);
            return;
        }
        first = entries_.first();
        if (!first || clock_() < rests_until_) return;
        target_ = target;
        plan_.emplace();
        ++stats_.reclaims;
    }
    // Not here: this is inside of somebody's allocation.
    asio::post(first->executor, Step{shared_from_this()});
}

void ReclaimCoordinator::ask_next() {
    const auto asked = entries();
    std::vector<ReclaimPlan::Candidate> candidates;
    candidates.reserve(asked.size());
    for (const auto& entry : asked)
        candidates.push_back({entry->id, entry->reclaimer->kind(), entry->reclaimer->estimate()});
    const auto used = process_.used();

    std::optional<ReclaimPlan::Request> next;
    {
        const std::scoped_lock lock{mutex_};
        if (!plan_) return;
        next = plan_->next(used, target_, candidates);
        if (next) {
            ++stats_.asked;
        } else {
            if (used > target_) rests_until_ = clock_() + rest_; // nobody is left: do not ask them at every allocation
            plan_.reset();
        }
    }
    if (!next) return;
    const auto entry = *std::ranges::find(asked, next->id, &Entry::id);
    asio::co_spawn(entry->executor, entry->reclaimer->reclaim(next->wanted), Call{shared_from_this(), entry});
}

void ReclaimCoordinator::on_ended(const Entry& entry, Bytes used_before, bool has_thrown) noexcept {
    const auto used = entry.account.used();
    const auto freed = used_before - std::min(used, used_before);
    const std::scoped_lock lock{mutex_};
    stats_.reclaimed_bytes += freed;
    if (freed == 0 || has_thrown) ++stats_.failed;
    if (plan_) plan_->on_reclaimed(entry.id, has_thrown ? 0 : freed);
}

void ReclaimCoordinator::give_up() noexcept {
    const std::scoped_lock lock{mutex_};
    plan_.reset();
}

auto ReclaimCoordinator::entries() -> std::vector<std::shared_ptr<Entry>> {
    const std::scoped_lock lock{mutex_};
    return entries_.all();
}

ReclaimStats ReclaimCoordinator::stats() const {
    const std::scoped_lock lock{mutex_};
    auto stats = stats_;
    stats.is_running = plan_.has_value();
    return stats;
}

} // namespace velostream
