// SPDX-License-Identifier: Apache-2.0
#include "stall_watch.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace velostream {

void StallWatch::begin(const asio::any_io_executor& executor, const TiedAlarm::SetAlarm& set_alarm) {
    const auto weak = weak_from_this();
    // Posted, since whoever tells is in the middle of a call, and waits for nobody.
    adjusting_ = std::make_shared<Errand>(executor, [weak] {
        if (const auto self = weak.lock()) self->adjust();
    });
    alarm_.emplace(executor, set_alarm, [weak] {
        if (const auto self = weak.lock()) self->look();
    });
}

void StallWatch::add(MemoryAccount root) {
    const std::scoped_lock lock{mutex_};
    roots_.push_back(std::move(root));
}

void StallWatch::end() noexcept {
    std::vector<MemoryAccount> roots; // may end with them, and then without the mutex
    const std::scoped_lock lock{mutex_};
    roots.swap(roots_);
    alarm_->end();
}

// Nothing of ours keeps the execution context running while nobody waits.
void StallWatch::adjust() {
    const std::scoped_lock lock{mutex_};
    const bool is_needed = locked_anyone_waits();
    if (is_needed == alarm_->is_set()) return;
    if (is_needed) return locked_set_alarm();
    alarm_->stop();
    seen_.clear();
}

void StallWatch::look() {
    std::vector<Stall> stalls;
    try {
        const std::scoped_lock lock{mutex_};
        if (!locked_anyone_waits()) return seen_.clear();
        locked_set_alarm();
        stalls = locked_look();
    } catch (const std::bad_alloc&) {
        return; // next time
    }
    for (const auto& [account, lasts] : stalls)
        report_({account.name, account.waiting, account.used, account.limit, lasts});
}

bool StallWatch::locked_anyone_waits() const {
    return std::ranges::any_of(roots_, &MemoryAccount::anyone_waits);
}

// Without memory for it there is none until the next change.
void StallWatch::locked_set_alarm() {
    constexpr int looks_per_timeout = 4;
    alarm_->set(saturating_add(now_(), timeout_ / looks_per_timeout));
}

std::vector<StallWatch::Stall> StallWatch::locked_look() {
    const auto now = now_();
    std::vector<Stall> stalls;
    decltype(seen_) seen;
    for (const auto& root : roots_) {
        for (const auto& account : root.who_waits()) {
            const auto room = account.limit - std::min(account.limit, account.used);
            if (account.wanted <= room) continue; // the first one there keeps a place, and is short of room elsewhere
            const auto before = seen_.find(account.id);
            const bool has_moved = before == seen_.end() || before->second.returned != account.returned;
            auto& after = seen[account.id] = has_moved ? Seen{account.returned, now, false} : before->second;
            if (after.is_reported || now - after.since < timeout_) continue;
            after.is_reported = true;
            stalls.push_back({account, now - after.since});
        }
    }
    stalls_.fetch_add(stalls.size(), std::memory_order_relaxed);
    seen_.swap(seen);
    return stalls;
}

} // namespace velostream
