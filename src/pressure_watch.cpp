// SPDX-License-Identifier: Apache-2.0
#include "pressure_watch.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>
#include <vector>

namespace velostream {

namespace {

constexpr Duration longest_age = std::chrono::milliseconds{250}; // of what the kernel said
constexpr double mark_step = 0.01;                               // of the limit: see set_marks
constexpr auto none = std::numeric_limits<Bytes>::max();

double fraction_of(Bytes whole, Bytes part) noexcept {
    if (whole == 0) return part == 0 ? 0 : std::numeric_limits<double>::infinity();
    return static_cast<double>(part) / static_cast<double>(whole);
}

// The least part that is `fraction` of the whole, as `fraction_of` has it; near it where that counts no single bytes.
Bytes least_part(Bytes whole, double fraction) noexcept {
    const auto product = static_cast<double>(whole) * fraction;
    if (product <= 0) return 0;
    if (product >= static_cast<double>(none)) return none;
    auto part = static_cast<Bytes>(product);
    if (fraction_of(whole, part) < fraction) ++part;
    if (fraction_of(whole, part - 1) >= fraction) --part;
    return part;
}

Bytes below(Bytes mark) noexcept {
    return mark - std::min<Bytes>(mark, 1);
}

} // namespace

PressureWatch::PressureWatch(MemoryAccount process, double threshold, SystemMemoryFiles files,
                             std::function<TimePoint()> clock, Report report)
    : process_(std::move(process)),
      threshold_(threshold),
      files_(std::move(files)),
      clock_(std::move(clock)),
      report_(std::move(report)),
      gauge_(threshold),
      read_at_((TimePoint::min)().time_since_epoch().count()),
      target_(none) {
    set_marks(0);
}

auto PressureWatch::judge(TimePoint now) noexcept -> Todo {
    const bool has_turn = claim_reading(now);
    if (has_turn) {
        try {
            read();
        } catch (...) { // no memory for it: by what they said last
        }
    }
    try {
        // Far from the threshold the figure that costs nothing settles it.
        const auto at_most = process_.used_at_most();
        if (fraction(at_most) < threshold_ && level() == PressureLevel::normal && !owes_news_) return {};
        return judge_by(has_turn || process_.is_used_cheap() ? process_.used() : at_most, now);
    } catch (...) {
        return {}; // no memory to report it: judged next time
    }
}

auto PressureWatch::judge_anew() -> Sight {
    const auto now = clock_();
    read_at_.store(now.time_since_epoch().count());
    Sight sight;
    sight.system = read();
    sight.used = process_.used();
    sight.percentage = 100 * std::clamp(fraction(sight.used), 0.0, 1.0);
    sight.todo = judge_by(sight.used, now);
    return sight;
}

auto PressureWatch::judge_by(Bytes used, TimePoint now) -> Todo {
    const auto at = fraction(used);
    const auto change = gauge_.update(at, now);
    const bool is_outside = used < low_mark_.load() || used >= high_mark_.load();
    const bool judge_again = (change || is_outside) && set_marks(used);
    if (change) {
        owes_news_ = true;
        report_({change->from, change->to, 100 * std::min(at, 1.0)});
    }
    return {.tell_listeners = owes_news_,
            .judge_again = judge_again,
            .reclaim = excess(used) != 0,
            .judge_at = gauge_.falls_at(at)};
}

// One thread: the others go on with the last figures while it reads.
bool PressureWatch::claim_reading(TimePoint now) noexcept {
    auto seen = read_at_.load();
    const bool was_ever_read = seen != (TimePoint::min)().time_since_epoch().count();
    if (was_ever_read && now - TimePoint{Duration{seen}} < longest_age) return false;
    return read_at_.compare_exchange_strong(seen, now.time_since_epoch().count());
}

// The target is fixed with the figures that ask for it: they do not change while memory comes back.
SystemMemory PressureWatch::read() {
    const auto system = read_system_memory(files_);
    group_fraction_ = std::max(system.cgroup_used_fraction, system.stalled_fraction);
    machine_fraction_ = system.machine_used_fraction();
    auto worst = group_fraction_.load();
    if (!process_.limit()) worst = std::max(worst, machine_fraction_.load());
    target_ = worst < threshold_ ? none : below(least_part(process_.used(), threshold_ / worst));
    return system;
}

double PressureWatch::fraction(Bytes used) const noexcept {
    const auto limit = process_.limit();
    if (!limit) return std::max(group_fraction_.load(), machine_fraction_.load());
    return std::max(fraction_of(*limit, used), group_fraction_.load());
}

Bytes PressureWatch::excess(Bytes used) const noexcept {
    auto target = target_.load();
    const auto limit = process_.limit();
    if (limit) target = std::min(target, below(least_part(*limit, threshold_)));
    return used - std::min(used, target);
}

/// Where the level may change, and below and above it a hundredth of the limit away: so a level that lasts for a while
/// before it falls, and those who had nothing to give back before, are seen to again when use has moved that far.
/// True if use is outside of them already: whoever moved it has looked at the marks before.
bool PressureWatch::set_marks(Bytes used) noexcept {
    const auto limit = process_.limit();
    Bytes low = 0, high = none;
    if (limit && *limit == 0) {
        low = used; // any change
        high = used + 1;
    } else if (limit) {
        const auto at = fraction_of(*limit, used);
        auto above = threshold_, under = 0.0;
        if (at >= threshold_ || level() != PressureLevel::normal) {
            above = at + mark_step;
            under = at - mark_step;
            for (const auto mark : {PressureGauge::falls_below(threshold_), threshold_,
                                    PressureGauge::falls_below(PressureGauge::critical_at), PressureGauge::critical_at})
                (at < mark ? above : under) = at < mark ? std::min(above, mark) : std::max(under, mark);
        }
        low = least_part(*limit, under);
        high = least_part(*limit, above);
    }
    low_mark_ = low;
    high_mark_ = high;
    process_.set_marks(low, high);
    if (low_mark_ != low || high_mark_ != high) return true; // another thread set others meanwhile: perhaps mixed ones
    const auto at_most = process_.used_at_most();
    if (at_most >= low && at_most < high) return false;
    if (!process_.is_used_cheap()) return true;
    const auto exactly = process_.used();
    return exactly < low || exactly >= high;
}

std::shared_ptr<void> PressureWatch::add_listener(asio::any_io_executor executor,
                                                  std::function<void(PressureLevel)> call) {
    auto entry = std::make_shared<Listener>(std::move(executor), std::move(call));
    listeners_.add(entry);
    return entry;
}

void PressureWatch::tell_listeners() noexcept {
    telling_.run([this] { tell_all(); });
}

void PressureWatch::tell_all() noexcept {
    if (!owes_news_.exchange(false)) return; // a change after this is told, too
    try {
        for (const auto& listener : listeners_.all()) tell(listener);
    } catch (...) {
        owes_news_ = true; // no memory for it: next time
    }
}

// One call at a time. Whoever owes it a change leaves word before he looks whether a call is under way; and that one
// looks for word after it has said that it is not: so one of them sees the other.
void PressureWatch::tell(const std::shared_ptr<Listener>& listener) {
    listener->is_owed = true;
    if (listener->is_posted.exchange(true)) return;
    try {
        listener->tie.with_executor([&](const asio::any_io_executor& executor) {
            asio::post(executor, [weak = std::weak_ptr{listener}, self = shared_from_this()] {
                if (const auto alive = weak.lock()) self->call(alive);
            });
        });
    } catch (...) {
        listener->is_posted = false;
        throw;
    }
}

void PressureWatch::call(const std::shared_ptr<Listener>& listener) {
    struct End { // also where the listener throws
        PressureWatch& watch;
        const std::shared_ptr<Listener>& listener;
        ~End() {
            listener->is_posted = false;
            if (!listener->is_owed) return;
            try {
                watch.tell(listener);
            } catch (...) { // no memory for it: next time
                watch.owes_news_ = true;
            }
        }
    };
    const End end{*this, listener};
    listener->is_owed = false; // before the level is read: a later change tells it again
    listener->call(level());
}

} // namespace velostream
