// SPDX-License-Identifier: Apache-2.0
#include "velostream/core/pool_plan.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace velostream {

namespace {

using namespace std::chrono_literals;
using Kind = PoolAction::Kind;

constexpr Duration least_between_probes = 200ms, most_between_probes = 250ms;
constexpr Duration most_between_uncared_probes = 30s;
constexpr int misconfigured_factor = 10;
constexpr std::size_t failed_checks_of_an_outage = 2;
constexpr Duration between_looks_for_room = 1s;

Duration part_of(Duration whole, double fraction) noexcept {
    return Duration{static_cast<Duration::rep>(static_cast<double>(whole.count()) * fraction)};
}

} // namespace

PoolPlan::PoolPlan(const PoolRules& rules, std::uint64_t seed, TimePoint now)
    : rules_(rules), random_(seed), ramp_(rules.connect_limit), due_(now) {}

PoolFigures PoolPlan::figures() const noexcept {
    const auto connecting = count(Stand::connecting) + count(Stand::given_up);
    return {.active = total() - connecting - count(Stand::idle),
            .idle = count(Stand::idle),
            .connecting = connecting,
            .total = total(),
            .waiting = waiting_};
}

std::optional<TimePoint> PoolPlan::pending_since() const noexcept {
    const auto slot = oldest(Stand::connecting);
    return slot != 0 ? std::optional{at(slot).since} : std::nullopt;
}

// ---- borrowers

std::optional<PoolSlot> PoolPlan::try_borrow(TimePoint now) {
    if (waiting_ != 0 || idle_.empty() || !is_fresh(at(idle_.back()), now)) return std::nullopt;
    const auto slot = idle_.back();
    change(slot, Stand::lent, now);
    if (idle_.size() < rules_.min_idle && total() < rules_.max_size) be_due(now); // to open another
    return slot;
}

PoolTicket PoolPlan::wait(TimePoint now, Actions& actions) {
    const auto ticket = first_ticket_ + line_.size();
    line_.push_back(false);
    const auto refuse = [&](PoolRefusal why) {
        if (why == PoolRefusal::connect_failed) refused_at_ = now;
        actions.push_back({.kind = Kind::refuse, .ticket = ticket, .refusal = why});
        settle(now, actions); // he cares, if nobody did
        return ticket;
    };
    if (const auto why = refusal(now)) return refuse(*why);
    line_.back() = true;
    ++waiting_;
    settle(now, actions);
    return ticket;
}

bool PoolPlan::leave(PoolTicket ticket, TimePoint now, Actions& actions) {
    if (ticket < first_ticket_ || !line_[ticket - first_ticket_]) return false;
    line_[ticket - first_ticket_] = false;
    --waiting_;
    settle(now, actions);
    return true;
}

void PoolPlan::give_back(PoolSlot slot, Return how, TimePoint used_at, TimePoint now, Actions& actions) {
    assert(at(slot).stand == Stand::lent);
    if (how != Return::as_it_was) at(slot).used_at = used_at;
    if (how == Return::clean) at(slot).seen_well = used_at;
    if (how == Return::clean && waiting_ == 0 && checks_failed_ == 0 && !reason_to_close(slot, now)) [[likely]]
        return change(slot, Stand::idle, used_at); // nothing else is to be done for one more
    if (how == Return::detached)
        change(slot, Stand::none, now);
    else if (how == Return::broken)
        begin_close(slot, PoolClosing::broken, now, actions);
    else if (how == Return::used && !reason_to_close(slot, now))
        begin(slot, Stand::resetting, {.kind = Kind::reset}, now, actions);
    else
        make_available(slot, now, actions);
    settle(now, actions);
}

bool PoolPlan::is_calm() const noexcept {
    return waiting_ == 0 && checks_failed_ < failed_checks_of_an_outage && !is_closed_ &&
           total() - count(Stand::closing) <= rules_.max_size;
}

// ---- what became of actions

void PoolPlan::opened(PoolSlot slot, TimePoint now, Actions& actions) {
    auto& connection = at(slot);
    if (connection.stand == Stand::connecting) usual_ = now - connection.since;
    ramp_ = std::min(2 * ramp_, rules_.connect_limit);
    failed_at_.reset();
    is_probing_ = is_misconfigured_ = false;
    uncared_ = Duration{0};
    checks_failed_ = 0;
    be_due(now); // what was put off meanwhile
    connection.used_at = connection.seen_well = now;
    connection.retire_at = TimePoint::max();
    if (rules_.max_lifetime)
        connection.retire_at =
            saturating_add(now, *rules_.max_lifetime -
                                    between(Duration{0}, part_of(*rules_.max_lifetime, rules_.max_lifetime_jitter)));
    const auto replaced = std::exchange(connection.replaces, 0);
    make_available(slot, now, actions);
    if (replaced != 0 && at(replaced).stand == Stand::idle) begin_close(replaced, PoolClosing::lifetime, now, actions);
    settle(now, actions);
}

void PoolPlan::open_failed(PoolSlot slot, ConnectFault fault, TimePoint now, Actions& actions) {
    const bool was_given_up = at(slot).stand == Stand::given_up;
    change(slot, Stand::none, now);
    if (!was_given_up) connect_has_failed(fault, now, actions);
    settle(now, actions);
}

void PoolPlan::connect_has_failed(ConnectFault fault, TimePoint now, Actions& actions) {
    const bool is_misconfigured = fault == ConnectFault::misconfigured;
    const bool is_news = !is_probing_ || (is_misconfigured && !is_misconfigured_);
    is_misconfigured_ = is_misconfigured;
    is_probing_ = true;
    failed_at_ = now;
    ramp_ = 1;
    if (is_news) probe_at_ = saturating_add(connected_at_, until_next_probe(now));
    if (!can_anything_come_back()) refuse_all(PoolRefusal::connect_failed, now, actions);
}

void PoolPlan::withheld(PoolSlot slot, TimePoint now, Actions& actions) {
    const auto replaced = at(slot).replaces;
    change(slot, Stand::none, now);
    withheld_until_ = saturating_add(now, between_looks_for_room);
    if (replaced != 0 && at(replaced).stand == Stand::idle) begin_close(replaced, PoolClosing::lifetime, now, actions);
    settle(now, actions);
}

void PoolPlan::room_came(TimePoint now, Actions& actions) {
    withheld_until_.reset();
    settle(now, actions);
}

void PoolPlan::yield_room(TimePoint now, Actions& actions) {
    if (waiting_ != 0 || idle_.empty() || count(Stand::closing) != 0) return;
    begin_close(idle_.front(), PoolClosing::yielded, now, actions);
    settle(now, actions);
}

void PoolPlan::checked(PoolSlot slot, bool works, TimePoint now, Actions& actions) {
    checks_failed_ = works ? 0 : checks_failed_ + 1;
    if (works) {
        at(slot).seen_well = now;
        make_available(slot, now, actions);
    } else {
        begin_close(slot, PoolClosing::invalid, now, actions);
    }
    settle(now, actions);
}

void PoolPlan::was_reset(PoolSlot slot, bool works, TimePoint now, Actions& actions) {
    if (works) {
        at(slot).seen_well = now;
        make_available(slot, now, actions);
    } else {
        begin_close(slot, PoolClosing::reset_failed, now, actions);
    }
    settle(now, actions);
}

void PoolPlan::was_closed(PoolSlot slot, TimePoint now, Actions& actions) {
    change(slot, Stand::none, now);
    settle(now, actions);
}

// ---- what the owner wants

void PoolPlan::resize(std::size_t max_size, TimePoint now, Actions& actions) {
    rules_.max_size = max_size;
    settle(now, actions);
}

void PoolPlan::close(TimePoint now, Actions& actions) {
    is_closed_ = true;
    refuse_all(PoolRefusal::closed, now, actions);
    while (!idle_.empty()) begin_close(idle_.back(), PoolClosing::shutdown, now, actions);
    for (PoolSlot slot = oldest(Stand::connecting); slot != 0; slot = oldest(Stand::connecting))
        begin(slot, Stand::given_up, {.kind = Kind::give_up}, now, actions);
    settle(now, actions);
}

// ---- connections

void PoolPlan::change(PoolSlot slot, Stand stand, TimePoint now) {
    auto& connection = at(slot);
    const auto before = std::exchange(connection.stand, stand);
    --counts_[static_cast<std::size_t>(before)];
    ++counts_[static_cast<std::size_t>(stand)];
    if (before == Stand::idle) {
        if (idle_.back() == slot)
            idle_.pop_back();
        else
            std::erase(idle_, slot);
    }
    connection.since = now;
    if (stand == Stand::idle) {
        idle_since_ = std::min(idle_since_, connection.used_at);
        const auto later = [this](TimePoint seen, PoolSlot other) { return seen < at(other).seen_well; };
        const bool is_last = idle_.empty() || !later(connection.seen_well, idle_.back());
        idle_.insert(is_last ? idle_.end() : std::upper_bound(idle_.begin(), idle_.end(), connection.seen_well, later),
                     slot);
        if (rules_.keepalive)
            connection.keep_alive_at =
                saturating_add(now, *rules_.keepalive - between(Duration{0}, *rules_.keepalive / 10));
    } else if (stand == Stand::lent) {
        connection.is_warned = false;
    } else if (stand == Stand::none) {
        connection = {};
        unused_.push_back(slot);
    }
    be_due_for(connection, now);
}

void PoolPlan::be_due_for(const Connection& connection, TimePoint now) noexcept {
    const auto not_before = [this](TimePoint at, TimePoint least) { be_due(std::max(at, least)); };
    if (connection.stand == Stand::lent) return be_due_for_lent(connection, now);
    if (connection.stand != Stand::idle) return;
    if (rules_.max_lifetime && !is_probing_) not_before(connection.retire_at, next_retirement_);
    if (rules_.keepalive) be_due(connection.keep_alive_at);
    if (rules_.idle_timeout && idle_.size() > rules_.min_idle)
        not_before(saturating_add(idle_since_, *rules_.idle_timeout), next_idle_closing_);
}

// It may come back right now and be told of when something is due for it: not before that.
void PoolPlan::be_due_for_lent(const Connection& connection, TimePoint now) noexcept {
    if (rules_.leak_threshold && !connection.is_warned)
        be_due(saturating_add(connection.since, *rules_.leak_threshold));
    if (rules_.max_lifetime && now < connection.retire_at) be_due(connection.retire_at);
    if (rules_.keepalive) be_due(saturating_add(now, *rules_.keepalive - *rules_.keepalive / 10));
    if (rules_.idle_timeout && total() > rules_.min_idle) be_due(saturating_add(now, *rules_.idle_timeout));
}

void PoolPlan::begin(PoolSlot slot, Stand stand, PoolAction action, TimePoint now, Actions& actions) {
    change(slot, stand, now);
    action.slot = slot;
    actions.push_back(action);
}

void PoolPlan::begin_close(PoolSlot slot, PoolClosing why, TimePoint now, Actions& actions) {
    if (why == PoolClosing::lifetime) space_retirements(now);
    begin(slot, Stand::closing, {.kind = Kind::close, .closing = why}, now, actions);
}

// What works goes to the first who waits, or among the idle.
void PoolPlan::make_available(PoolSlot slot, TimePoint now, Actions& actions) {
    if (const auto why = reason_to_close(slot, now)) return begin_close(slot, *why, now, actions);
    if (waiting_ != 0)
        begin(slot, Stand::lent, {.kind = Kind::hand, .ticket = take_first()}, now, actions);
    else
        change(slot, Stand::idle, now);
}

std::optional<PoolClosing> PoolPlan::reason_to_close(PoolSlot slot, TimePoint now) const noexcept {
    if (is_closed_) return PoolClosing::shutdown;
    if (total() - count(Stand::closing) > rules_.max_size) return PoolClosing::shrunk;
    return may_retire(at(slot), now) ? std::optional{PoolClosing::lifetime} : std::nullopt;
}

// ---- who waits

// The first of those who wait, who waits no longer.
PoolTicket PoolPlan::take_first() {
    while (!line_.front()) drop_front();
    const auto ticket = first_ticket_;
    drop_front();
    --waiting_;
    return ticket;
}

void PoolPlan::drop_front() {
    line_.pop_front();
    ++first_ticket_;
}

void PoolPlan::refuse_all(PoolRefusal why, TimePoint now, Actions& actions) {
    if (waiting_ != 0 && why == PoolRefusal::connect_failed) refused_at_ = now;
    while (waiting_ != 0) actions.push_back({.kind = Kind::refuse, .ticket = take_first(), .refusal = why});
}

// ---- what is to be done

void PoolPlan::settle(TimePoint now, Actions& actions) {
    while (!line_.empty() && !line_.front()) drop_front();
    while (total() - count(Stand::closing) > rules_.max_size && !idle_.empty())
        begin_close(idle_.front(), PoolClosing::shrunk, now, actions);
    serve(now, actions);
    if (!is_closed_) return connect(now, actions);
    if (total() != 0 || is_drained_) return;
    is_drained_ = true;
    actions.push_back({.kind = Kind::drained});
}

void PoolPlan::serve(TimePoint now, Actions& actions) {
    const bool checks_all = checks_failed_ >= failed_checks_of_an_outage;
    while (!idle_.empty() && (waiting_ != 0 || checks_all)) {
        const auto slot = idle_.back();
        if (!is_fresh(at(slot), now) && (checks_all || count(Stand::checking) < waiting_))
            begin(slot, Stand::checking, {.kind = Kind::check}, now, actions);
        else if (is_fresh(at(slot), now) && waiting_ != 0)
            begin(slot, Stand::lent, {.kind = Kind::hand, .ticket = take_first()}, now, actions);
        else
            return;
    }
}

void PoolPlan::connect(TimePoint now, Actions& actions) {
    if (withheld_until_ && (wants_room() || wanted() == 0)) return;
    if (withheld_until_ && now < *withheld_until_) return be_due(*withheld_until_);
    withheld_until_.reset();
    if (!is_probing_) {
        for (auto more = wanted(); more > 0 && has_room() && count(Stand::connecting) < ramp_; --more)
            open(now, actions);
        const auto pending = oldest(Stand::connecting);
        if (pending == 0 || waiting_ == 0) return;
        const auto too_slow_at = saturating_add(at(pending).since, longest_usual_connect());
        if (now < too_slow_at) return be_due(too_slow_at);
        is_probing_ = true;
        probe_at_ = now;
    }
    if (uncared_ != Duration{0} && somebody_cares(now)) {
        uncared_ = Duration{0};
        probe_at_ = std::min(probe_at_, saturating_add(connected_at_, until_next_probe(now)));
    }
    probe(now, actions);
}

void PoolPlan::probe(TimePoint now, Actions& actions) {
    if (!somebody_cares(now) && wanted() == 0) return;
    if (now < probe_at_) return be_due(probe_at_);
    if (!has_room() && !give_up_one(now, actions)) return; // when one has ended
    if (!has_room()) return;
    open(now, actions);
    probe_at_ = saturating_add(now, until_next_probe(now));
    be_due(probe_at_);
}

// Not the oldest, which keeps its time.
bool PoolPlan::give_up_one(TimePoint now, Actions& actions) {
    const auto slot = oldest(Stand::connecting, oldest(Stand::connecting));
    if (slot == 0) return false;
    begin(slot, Stand::given_up, {.kind = Kind::give_up}, now, actions);
    return true;
}

void PoolPlan::open(TimePoint now, Actions& actions, PoolSlot replaces) {
    if (unused_.empty()) {
        connections_.emplace_back();
        ++counts_[static_cast<std::size_t>(Stand::none)];
        unused_.push_back(static_cast<PoolSlot>(connections_.size()));
    }
    const auto slot = unused_.back();
    unused_.pop_back();
    connected_at_ = now;
    begin(slot, Stand::connecting, {.kind = Kind::open}, now, actions);
    at(slot).replaces = replaces;
}

Duration PoolPlan::until_next_probe(TimePoint now) {
    auto wait = between(least_between_probes, most_between_probes);
    if (!somebody_cares(now)) {
        uncared_ = uncared_ == Duration{0} ? most_between_probes : std::min(2 * uncared_, most_between_uncared_probes);
        wait = between(uncared_ - uncared_ / 5, uncared_);
    }
    return is_misconfigured_ ? misconfigured_factor * wait : wait;
}

// ---- what is so

std::optional<PoolRefusal> PoolPlan::refusal(TimePoint now) const noexcept {
    if (is_closed_) return PoolRefusal::closed;
    if (rules_.max_waiters != 0 && waiting_ >= rules_.max_waiters) return PoolRefusal::too_many;
    if (has_just_failed(now) && !can_anything_come_back()) return PoolRefusal::connect_failed;
    return std::nullopt;
}

bool PoolPlan::wants_room() const noexcept {
    return withheld_until_ && !is_closed_ && waiting_ > coming() && total() < rules_.max_size;
}

// Connects beside those under way, for who waits and for `min_idle`.
std::size_t PoolPlan::wanted() const noexcept {
    const auto for_waiters = waiting_ - std::min(waiting_, coming());
    const auto spare = idle_.size() + coming() - std::min(waiting_, coming());
    return for_waiters + rules_.min_idle - std::min(rules_.min_idle, spare);
}

bool PoolPlan::is_fresh(const Connection& connection, TimePoint now) const noexcept {
    return now - connection.seen_well <= rules_.validation_window;
}

// Not in an outage, where an old one is better than none.
bool PoolPlan::may_retire(const Connection& connection, TimePoint now) const noexcept {
    return rules_.max_lifetime && now >= connection.retire_at && now >= next_retirement_ && !is_probing_;
}

bool PoolPlan::can_anything_come_back() const noexcept {
    return count(Stand::lent) + count(Stand::idle) + count(Stand::checking) + count(Stand::resetting) != 0;
}

bool PoolPlan::somebody_cares(TimePoint now) const noexcept {
    return waiting_ != 0 || (refused_at_ && now < saturating_add(*refused_at_, rules_.connection_timeout));
}

bool PoolPlan::has_just_failed(TimePoint now) const noexcept {
    const auto recent = is_misconfigured_ ? misconfigured_factor * most_between_probes : most_between_probes;
    return failed_at_ && now - *failed_at_ < recent;
}

// A connect that takes longer may never end: another is tried beside it.
Duration PoolPlan::longest_usual_connect() const noexcept {
    return std::max(most_between_probes, usual_ ? 2 * *usual_ : Duration{0});
}

PoolSlot PoolPlan::oldest(Stand stand, PoolSlot but) const noexcept {
    PoolSlot found = 0;
    if (count(stand) == 0) return found;
    for (PoolSlot slot = 1; slot <= connections_.size(); ++slot) {
        if (slot == but || at(slot).stand != stand) continue;
        if (found == 0 || at(slot).since < at(found).since) found = slot;
    }
    return found;
}

Duration PoolPlan::between(Duration least, Duration most) noexcept {
    const auto span = static_cast<std::uint64_t>((most - least).count()) + 1;
    return least + Duration{static_cast<Duration::rep>(random_.next() % span)};
}

} // namespace velostream
