// SPDX-License-Identifier: Apache-2.0
#include "reclaim_coordinator.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <new>
#include <utility>

namespace velostream {

namespace {

constexpr std::size_t most_refusals = 64; // that are remembered at a time

} // namespace

// What came back counts also where somebody who waited for it has it already.
void ReclaimCoordinator::Asked::end(bool has_failed) noexcept {
    const auto used = entry->account.used();
    const auto had = used_before + (entry->account.handed_over() - handed_over_before);
    freed = had - std::min(had, used);
    entry->is_asked = false;
    stand = has_failed ? Stand::failed : Stand::succeeded;
}

// One call of a reclaimer. One that is destroyed with its context, or never begun for want of memory, has failed.
class ReclaimCoordinator::Call {
  public:
    Call(std::shared_ptr<ReclaimCoordinator> coordinator, std::shared_ptr<Asked> asked) noexcept
        : coordinator_(std::move(coordinator)), asked_(std::move(asked)) {}
    Call(Call&&) noexcept = default;
    Call& operator=(Call&&) = delete;
    ~Call() { end(true); }

    void operator()(const std::exception_ptr& thrown) { end(thrown != nullptr); }

  private:
    void end(bool has_failed) noexcept {
        const auto coordinator = std::exchange(coordinator_, nullptr);
        if (!coordinator) return;
        asked_->end(has_failed);
        coordinator->means_.look_soon();
    }

    std::shared_ptr<ReclaimCoordinator> coordinator_;
    std::shared_ptr<Asked> asked_;
};

ReclaimCoordinator::ReclaimCoordinator(MemoryAccount process, const asio::any_io_executor& executor,
                                       const TiedAlarm::SetAlarm& set_alarm, Means means)
    : process_(std::move(process)),
      means_(std::move(means)),
      timeout_alarm_(executor, set_alarm, means_.look_soon),
      rest_alarm_(executor, set_alarm, means_.look_soon),
      rests_until_((TimePoint::min)().time_since_epoch().count()) {}

ReclaimCoordinator::~ReclaimCoordinator() {
    drop(refused_.load());
}

std::shared_ptr<void> ReclaimCoordinator::add(asio::any_io_executor executor, MemoryAccount account,
                                              std::shared_ptr<Reclaimer> reclaimer) {
    auto entry = std::make_shared<Entry>(entry_count_.fetch_add(1), std::move(executor), std::move(account),
                                         std::move(reclaimer));
    entries_.add(entry);
    end_rest(); // it may have what the others have not
    has_entries_ = true;
    means_.look_soon();
    return entry;
}

void ReclaimCoordinator::on_refused(const MemoryAccount& account, Bytes bytes) noexcept {
    if (!is_of_use() || !is_of_use(means_.clock())) return;
    if (refused_count_.fetch_add(1) < most_refusals) {
        if (auto* refusal = new (std::nothrow) Refusal{account, bytes}) {
            refusal->next = refused_.load();
            while (!refused_.compare_exchange_weak(refusal->next, refusal)) continue;
            means_.look_soon();
            return;
        }
    }
    refused_count_.fetch_sub(1);
}

void ReclaimCoordinator::look() noexcept {
    looking_.run([this] { look_once(); });
}

void ReclaimCoordinator::look_once() noexcept {
    if (has_ended_) {
        end_reclaim();
        asked_.reset();
        return;
    }
    try {
        ask_next();
    } catch (const std::bad_alloc&) {
        rest(means_.clock(), process_.anyone_waits());
    }
}

void ReclaimCoordinator::ask_next() {
    const auto now = means_.clock();
    if (is_asking(now)) return; // when that one has ended, or its time has
    timeout_alarm_.stop();
    take_refusals();
    const auto entries = idle_entries();
    for (const auto& entry : entries)
        if (!std::exchange(entry->is_known, true)) end_rest(); // which a look may have begun after this one came
    const auto wanted = has_entries_ ? needs() : Needs{};
    if (wanted.levels.empty() && !wanted.somebody_waits) return end_reclaim();
    if (now.time_since_epoch().count() < rests_until_.load()) {
        refusals_.clear();
        if (wanted.somebody_waits) look_after_rest();
        return;
    }
    std::vector<ReclaimPlan::Candidate> candidates;
    candidates.reserve(entries.size());
    for (const auto& entry : entries)
        candidates.push_back({entry->id, entry->reclaimer->kind(), entry->reclaimer->estimate()});

    std::vector<ReclaimPlan::Candidate> within;
    for (const auto& need : wanted.levels) {
        within.clear();
        for (std::size_t index = 0; index < entries.size(); ++index)
            if (entries[index]->account.is_within(need.level)) within.push_back(candidates[index]);
        const auto next = plan_ ? plan_->next(need.missing, within) : ReclaimPlan{}.next(need.missing, within);
        if (next) return ask(*std::ranges::find(entries, next->id, &Entry::id), next->wanted);
    }
    rest(now, wanted.somebody_waits); // nobody is left: do not ask them at every allocation
}

// Whoever has not ended in time has failed.
bool ReclaimCoordinator::is_asking(TimePoint now) {
    if (!asked_) return false;
    const auto stand = asked_->stand.load();
    if (stand == Asked::Stand::asked && now < asked_->until) {
        watch_timeout(asked_->until); // there may have been no memory for it
        return true;
    }
    const auto asked = std::exchange(asked_, nullptr);
    if (stand == Asked::Stand::asked)
        count(*asked, 0, true);
    else
        count(*asked, asked->freed, stand == Asked::Stand::failed);
    return false;
}

void ReclaimCoordinator::watch_timeout(TimePoint until) noexcept {
    if (until != TimePoint::max()) timeout_alarm_.set(until);
}

/// What levels lack, those first where somebody waits.
auto ReclaimCoordinator::needs() -> Needs {
    Needs found;
    if (process_.anyone_waits()) {
        for (const auto& wait : process_.who_waits()) {
            if (wait.wanted > wait.limit) continue; // it will be refused
            const auto room = wait.limit - std::min(wait.limit, wait.used);
            if (wait.wanted <= room) continue;
            found.add(wait.id, wait.wanted - room);
            found.somebody_waits = true;
        }
    }
    std::erase_if(refusals_, [&found](const Refusal& refusal) {
        const auto shortage = refusal.account.shortage(refusal.bytes);
        if (shortage) found.add(shortage->level, shortage->missing);
        return !shortage;
    });
    if (const auto excess = means_.excess(); excess != 0) found.add(process_.id(), excess);
    return found;
}

void ReclaimCoordinator::Needs::add(const void* level, Bytes missing) {
    const auto known = std::ranges::find(levels, level, &Need::level);
    if (known == levels.end())
        levels.push_back({level, missing});
    else
        known->missing = std::max(known->missing, missing);
}

void ReclaimCoordinator::take_refusals() {
    auto* const taken = refused_.exchange(nullptr);
    for (const auto* refusal = taken; refusal != nullptr; refusal = refusal->next) refused_count_.fetch_sub(1);
    try {
        for (const auto* refusal = taken; refusal != nullptr; refusal = refusal->next) {
            const auto known = std::ranges::find(refusals_, refusal->account, &Refusal::account);
            if (known != refusals_.end())
                known->bytes = std::max(known->bytes, refusal->bytes);
            else if (refusals_.size() < most_refusals)
                refusals_.push_back({refusal->account, refusal->bytes});
        }
    } catch (...) {
        drop(taken);
        throw;
    }
    drop(taken);
}

void ReclaimCoordinator::drop(Refusal* refusals) noexcept {
    while (refusals != nullptr) delete std::exchange(refusals, refusals->next);
}

auto ReclaimCoordinator::idle_entries() -> Entries {
    auto entries = entries_.all();
    has_entries_ = !entries.empty();
    if (entries.empty()) {
        entries = entries_.all(); // who has come since may have said so just before
        if (!entries.empty()) has_entries_ = true;
    }
    std::erase_if(entries, [](const auto& entry) { return entry->is_asked.load(); });
    return entries;
}

void ReclaimCoordinator::ask(const std::shared_ptr<Entry>& entry, Bytes wanted) {
    if (has_ended_) return; // since this look began, perhaps by what was asked for an estimate
    const auto until = saturating_add(means_.clock(), means_.timeout);
    auto asked = std::make_shared<Asked>(entry, until);
    if (!plan_) {
        plan_.emplace();
        counts_.is_running.store(true, std::memory_order_relaxed);
        counts_.reclaims.fetch_add(1, std::memory_order_relaxed);
    }
    counts_.asked.fetch_add(1, std::memory_order_relaxed);
    entry->is_asked = true;
    asked_ = std::move(asked);
    Call call{shared_from_this(), asked_};
    watch_timeout(until);
    try {
        entry->tie.with_executor([&](const asio::any_io_executor& executor) {
            asio::post(executor, [call = std::move(call), entry, executor, wanted]() mutable {
                try {
                    auto work = entry->reclaimer->reclaim(wanted);
                    asio::co_spawn(executor, std::move(work), std::move(call));
                } catch (...) { // the call has counted it
                }
            });
        });
    } catch (const std::bad_alloc&) { // likewise
    }
}

void ReclaimCoordinator::rest(TimePoint now, bool somebody_waits) noexcept {
    const auto until = saturating_add(now, means_.rest);
    end_reclaim();
    refusals_.clear();
    rests_until_ = until.time_since_epoch().count();
    if (somebody_waits) look_after_rest();
}

void ReclaimCoordinator::end_rest() noexcept {
    rests_until_ = (TimePoint::min)().time_since_epoch().count();
}

// Only for those who wait is the execution context given work. The others ask again when they try again.
void ReclaimCoordinator::look_after_rest() noexcept {
    rest_alarm_.set(TimePoint{Duration{rests_until_.load()}});
}

// Where there is no memory to remember who has nothing, the reclaim ends.
void ReclaimCoordinator::count(const Asked& asked, Bytes freed, bool has_failed) noexcept {
    counts_.reclaimed_bytes.fetch_add(freed, std::memory_order_relaxed);
    if (freed == 0 || has_failed) counts_.failed.fetch_add(1, std::memory_order_relaxed);
    if (!plan_) return;
    try {
        plan_->on_reclaimed(asked.entry->id, has_failed ? 0 : freed);
    } catch (const std::bad_alloc&) {
        end_reclaim();
    }
}

void ReclaimCoordinator::end_reclaim() noexcept {
    plan_.reset();
    counts_.is_running.store(false, std::memory_order_relaxed);
}

void ReclaimCoordinator::end() noexcept {
    has_ended_ = true;
    look();
    timeout_alarm_.end();
    rest_alarm_.end();
}

ReclaimStats ReclaimCoordinator::stats() const noexcept {
    return {.reclaims = counts_.reclaims.load(std::memory_order_relaxed),
            .asked = counts_.asked.load(std::memory_order_relaxed),
            .failed = counts_.failed.load(std::memory_order_relaxed),
            .reclaimed_bytes = counts_.reclaimed_bytes.load(std::memory_order_relaxed),
            .is_running = counts_.is_running.load(std::memory_order_relaxed)};
}

} // namespace velostream
