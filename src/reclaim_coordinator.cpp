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

// What came back, also where somebody who waited for it has it already.
Bytes ReclaimCoordinator::Asked::freed() const noexcept {
    const auto used = entry->account.used();
    const auto had = used_before + (entry->account.handed_over() - handed_over_before);
    return had - std::min(had, used);
}

// One call of a reclaimer. One that is destroyed with its context, or never begun for want of memory, has failed.
class ReclaimCoordinator::Call {
  public:
    Call(std::shared_ptr<ReclaimCoordinator> coordinator, std::shared_ptr<Entry> entry, std::uint64_t number) noexcept
        : coordinator_(std::move(coordinator)), entry_(std::move(entry)), number_(number) {}
    Call(Call&&) noexcept = default;
    Call& operator=(Call&&) = delete;
    ~Call() { end(true); }

    void operator()(const std::exception_ptr& thrown) { end(thrown != nullptr); }

  private:
    void end(bool has_failed) noexcept {
        if (const auto coordinator = std::exchange(coordinator_, nullptr))
            coordinator->on_ended(number_, *entry_, has_failed);
    }

    std::shared_ptr<ReclaimCoordinator> coordinator_;
    std::shared_ptr<Entry> entry_;
    std::uint64_t number_;
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
    std::shared_ptr<Entry> entry;
    {
        const std::scoped_lock lock{mutex_};
        entry = std::make_shared<Entry>(next_id_++, std::move(executor), std::move(account), std::move(reclaimer));
        entries_.add(entry);
    }
    rests_until_ = (TimePoint::min)().time_since_epoch().count(); // it may have what the others have not
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
    {
        const std::scoped_lock lock{mutex_};
        must_look_again_ = true;
        if (is_looking_) return;
        is_looking_ = true;
    }
    for (;;) {
        {
            const std::scoped_lock lock{mutex_};
            if (!must_look_again_ || has_ended_) {
                is_looking_ = false;
                return;
            }
            must_look_again_ = false;
        }
        try {
            look_once();
        } catch (const std::bad_alloc&) {
            rest(means_.clock(), process_.anyone_waits());
        }
    }
}

void ReclaimCoordinator::look_once() {
    const auto now = means_.clock();
    if (is_asking(now)) return; // when that one has ended, or its time has
    timeout_alarm_.stop();
    take_refusals();
    const auto entries = idle_entries();
    const auto wanted = has_entries_ ? needs() : Needs{};
    if (wanted.levels.empty() && !wanted.somebody_waits) {
        const std::scoped_lock lock{mutex_};
        plan_.reset();
        return;
    }
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
        std::optional<ReclaimPlan::Request> next;
        {
            const std::scoped_lock lock{mutex_};
            next = plan_ ? plan_->next(need.missing, within) : ReclaimPlan{}.next(need.missing, within);
        }
        if (next) return ask(*std::ranges::find(entries, next->id, &Entry::id), next->wanted);
    }
    rest(now, wanted.somebody_waits); // nobody is left: do not ask them at every allocation
}

// Whoever has not ended in time has failed.
bool ReclaimCoordinator::is_asking(TimePoint now) {
    std::optional<Asked> late; // ends without the mutex, and with it perhaps the reclaimer
    TimePoint until;
    {
        const std::scoped_lock lock{mutex_};
        if (!asked_) return false;
        until = asked_->until;
        if (now >= until) {
            late.swap(asked_);
            locked_count(*late, 0, true);
        }
    }
    if (late) return false;
    watch_timeout(until); // there may have been no memory for it
    return true;
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
    Entries entries; // ends without the mutex, and with it perhaps a reclaimer
    {
        const std::scoped_lock lock{mutex_};
        entries = entries_.all();
        has_entries_ = !entries.empty();
    }
    std::erase_if(entries, [](const auto& entry) { return entry->is_asked.load(); });
    return entries;
}

void ReclaimCoordinator::ask(const std::shared_ptr<Entry>& entry, Bytes wanted) {
    const auto until = saturating_add(means_.clock(), means_.timeout);
    Asked asked{0, entry, until, entry->account.used(), entry->account.handed_over()};
    {
        const std::scoped_lock lock{mutex_};
        if (has_ended_) return;
        if (!plan_) {
            plan_.emplace();
            ++stats_.reclaims;
        }
        ++stats_.asked;
        asked.number = ++asked_count_;
        entry->is_asked = true;
        asked_ = asked;
    }
    Call call{shared_from_this(), entry, asked.number};
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
    {
        const std::scoped_lock lock{mutex_};
        plan_.reset();
    }
    refusals_.clear();
    rests_until_ = until.time_since_epoch().count();
    if (somebody_waits) look_after_rest();
}

// Only for those who wait is the execution context given work. The others ask again when they try again.
void ReclaimCoordinator::look_after_rest() noexcept {
    rest_alarm_.set(TimePoint{Duration{rests_until_.load()}});
}

void ReclaimCoordinator::on_ended(std::uint64_t number, Entry& entry, bool has_failed) noexcept {
    std::optional<Asked> ended; // without the mutex, and with it perhaps the reclaimer
    {
        const std::scoped_lock lock{mutex_};
        entry.is_asked = false;
        if (asked_ && asked_->number == number) {
            ended.swap(asked_);
            locked_count(*ended, ended->freed(), has_failed);
        }
    }
    means_.look_soon();
}

// Where there is no memory to remember who has nothing, the reclaim ends.
void ReclaimCoordinator::locked_count(const Asked& asked, Bytes freed, bool has_failed) noexcept {
    stats_.reclaimed_bytes += freed;
    if (freed == 0 || has_failed) ++stats_.failed;
    if (!plan_) return;
    try {
        plan_->on_reclaimed(asked.entry->id, has_failed ? 0 : freed);
    } catch (const std::bad_alloc&) {
        plan_.reset();
    }
}

void ReclaimCoordinator::end() noexcept {
    std::optional<Asked> asked;
    {
        const std::scoped_lock lock{mutex_};
        has_ended_ = true;
        plan_.reset();
        asked.swap(asked_);
    }
    timeout_alarm_.end();
    rest_alarm_.end();
}

ReclaimStats ReclaimCoordinator::stats() const {
    const std::scoped_lock lock{mutex_};
    auto stats = stats_;
    stats.is_running = plan_.has_value();
    return stats;
}

} // namespace velostream
