// SPDX-License-Identifier: Apache-2.0
#include "stall_watch.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <new>
#include <utility>

namespace velostream {

void StallWatch::add(MemoryAccount root) {
    const std::scoped_lock lock{mutex_};
    roots_.push_back(std::move(root));
}

void StallWatch::end() noexcept {
    std::vector<MemoryAccount> roots; // may end with them, and then without the mutex
    const std::scoped_lock lock{mutex_};
    roots.swap(roots_);
    alarm_.stop();
}

std::uint64_t StallWatch::stalls() const {
    const std::scoped_lock lock{mutex_};
    return stalls_;
}

// Posted, since whoever tells is in the middle of a call, and waits for nobody: where another thread has the executor,
// that one posts for both once it has let go of it. Neither can miss the other: this one leaves word before it tries,
// that one lets go before it looks for word.
void StallWatch::adjust_soon() noexcept {
    is_told_ = true;
    post_if_told();
}

// Where there is no memory for it the next one who tells tries again.
void StallWatch::post_if_told() noexcept {
    const auto post = [this](const asio::any_io_executor& executor) {
        if (!is_told_.exchange(false) || is_posted_.exchange(true)) return;
        try {
            asio::post(executor, [weak = weak_from_this()] {
                if (const auto self = weak.lock()) self->adjust();
            });
        } catch (...) {
            is_posted_ = false; // before the next one may try
        }
    };
    while (is_told_ && tie_.try_with_executor(post)) continue;
}

// Nothing of ours keeps the execution context running while nobody waits.
void StallWatch::adjust() {
    is_posted_ = false; // before it looks: a later change comes again
    const std::scoped_lock lock{mutex_};
    const bool is_needed = locked_anyone_waits();
    if (is_needed == is_set_) return;
    if (is_needed) return locked_set_alarm();
    is_set_ = false;
    alarm_.stop();
    seen_.clear();
}

void StallWatch::look() {
    std::vector<Stall> stalls;
    try {
        const std::scoped_lock lock{mutex_};
        is_set_ = false;
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

// Without memory for it there is none until the next change. Who wanted the executor meanwhile has left word.
void StallWatch::locked_set_alarm() {
    constexpr int looks_per_timeout = 4;
    auto ring = [weak = weak_from_this()](AlarmEnd end) {
        const auto self = weak.lock();
        if (self && end == AlarmEnd::rang) self->look();
    };
    try {
        is_set_ = tie_.with_executor([&](const asio::any_io_executor& executor) {
            set_alarm_(alarm_, executor, saturating_add(now_(), timeout_ / looks_per_timeout), std::move(ring));
        });
    } catch (const std::bad_alloc&) {
        is_set_ = false;
    }
    post_if_told();
}

std::vector<StallWatch::Stall> StallWatch::locked_look() {
    const auto now = now_();
    std::vector<Stall> stalls;
    decltype(seen_) seen;
    for (const auto& root : roots_) {
        const auto waiting = root.who_waits();
        if (!waiting) return {}; // somebody is making an account: next time
        for (const auto& account : *waiting) {
            const auto before = seen_.find(account.id);
            const bool has_moved = before == seen_.end() || before->second.returned != account.returned;
            auto& after = seen[account.id] = has_moved ? Seen{account.returned, now, false} : before->second;
            if (after.is_reported || now - after.since < timeout_) continue;
            after.is_reported = true;
            stalls.push_back({account, now - after.since});
        }
    }
    stalls_ += stalls.size();
    seen_.swap(seen);
    return stalls;
}

} // namespace velostream
