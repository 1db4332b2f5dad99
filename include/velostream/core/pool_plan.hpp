// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "velostream/base/units.hpp"
#include "velostream/core/backoff_random.hpp"
#include "velostream/core/pool_types.hpp"

namespace velostream {

/// A pool of connections without the connections: what happened goes in, with the time; what is to be done comes out.
///
/// * Borrowers are served first come first served; what comes back is handed to the first, and who comes later
///   overtakes nobody.
/// * A borrower never connects. Connects belong to the pool, as many as borrowers wait for and `min_idle` wants, at
///   most `connect_limit` at once; whoever waits takes what comes first.
/// * `active + idle + connecting ≤ max_size` always, but after `resize` has made it smaller.
/// * An idle connection that was last seen to work longer ago than `validation_window` is checked before it is handed
///   over. After two checks in a row that failed all idle ones are checked at once: nobody's time is spent on one dead
///   connection after another.
/// * After a failed connect one probe begins every 200 to 250 ms as long as somebody waits or was refused within the
///   last `connection_timeout`, else ever less often, up to every 30 s (ten times that where the server refused our
///   name). A probe that hangs holds up none: where `connect_limit` are pending the oldest but one is given up; the
///   oldest keeps its time, for a server that is slow. After a success 2, 4, … may connect at once.
/// * Where nothing is left that could come back, a failed connect refuses everybody who waits, and who comes right
///   after.
/// * A connection is replaced after `max_lifetime`, less up to `max_lifetime_jitter` of it by chance; no two are within
///   `max_lifetime / (2 max_size)`. The new one is opened first where there is room. None is cut while it is lent out.
/// * The plan may be told late of one that has come back: `tick` is due as if all that are lent had.
/// * Where there is no room outside of the pool, as where other pools have all the connections that may be, nothing is
///   opened until there is. Who waits stands in line for it; `min_idle` does not, and asks again every second.
///
/// Shapes:  each event appends what is to be done to `actions`, in order. Whoever runs the plan tells what became of
///          it.
/// Threads: one at a time.
class PoolPlan {
  public:
    using Actions = std::vector<PoolAction>;

    /// `seed`: of its chances. `now`: when it begins; `tick` then opens `min_idle`.
    PoolPlan(const PoolRules& rules, std::uint64_t seed, TimePoint now);

    // ---- borrowers

    /// An idle connection that needs no check, where nobody waits.
    std::optional<PoolSlot> try_borrow(TimePoint now);
    /// Waits. The ticket of who waits, who may have been served or refused by `actions` already.
    PoolTicket wait(TimePoint now, Actions& actions);
    /// Leaves: cancelled, or late. False if it was served or refused before.
    bool leave(PoolTicket ticket, TimePoint now, Actions& actions);

    enum class Return : std::uint8_t {
        as_it_was, ///< as it was handed over: nobody used it
        clean,     ///< the next one may have it as it is
        used,      ///< it is reset first
        broken,
        detached, ///< it is the borrower's own from now on
    };
    void give_back(PoolSlot slot, Return how, TimePoint now, Actions& actions) {
        give_back(slot, how, now, now, actions);
    }
    /// The same for one that was last used at `used_at`, and of which the plan is told only now.
    void give_back(PoolSlot slot, Return how, TimePoint used_at, TimePoint now, Actions& actions);
    /// Nobody waits, and nothing else is to be done with what comes back: as long as no event says otherwise the plan
    /// need not be told of one that is given back clean and lent again, if it is still fresh and not too old then.
    bool is_calm() const noexcept;
    bool has_lent() const noexcept { return count(Stand::lent) != 0; }
    /// When an idle or lent connection was seen to work, as far as the plan was told, and is to be replaced.
    TimePoint seen_well(PoolSlot slot) const noexcept { return at(slot).seen_well; }
    TimePoint retire_at(PoolSlot slot) const noexcept { return at(slot).retire_at; }

    // ---- what became of actions

    void opened(PoolSlot slot, TimePoint now, Actions& actions);
    void open_failed(PoolSlot slot, ConnectFault fault, TimePoint now, Actions& actions);
    /// There is no room for it outside of the pool: it was not opened.
    void withheld(PoolSlot slot, TimePoint now, Actions& actions);
    void checked(PoolSlot slot, bool works, TimePoint now, Actions& actions);
    void was_reset(PoolSlot slot, bool works, TimePoint now, Actions& actions);
    void was_closed(PoolSlot slot, TimePoint now, Actions& actions);

    // ---- time, and what the owner wants

    /// When `tick` is to be called at the latest; `TimePoint::max()`: never.
    TimePoint due() const noexcept { return due_; }
    void tick(TimePoint now, Actions& actions);
    /// There is room outside of the pool for one more connection.
    void room_came(TimePoint now, Actions& actions);
    /// Somebody else waits for room: closes an idle connection, also one of `min_idle`, where nobody waits for it here
    /// and none is being closed already.
    void yield_room(TimePoint now, Actions& actions);
    /// From now on so many.
    void resize(std::size_t max_size, TimePoint now, Actions& actions);
    /// Refuses who waits and who comes, closes what is idle, gives up what is being opened, and closes what comes back.
    void close(TimePoint now, Actions& actions);

    PoolFigures figures() const noexcept;
    const PoolRules& rules() const noexcept { return rules_; }
    /// What `wait` would refuse a newcomer for.
    std::optional<PoolRefusal> refusal(TimePoint now) const noexcept;
    /// Somebody waits for a connection that is not opened for want of room outside of the pool.
    bool wants_room() const noexcept;
    /// A connect has failed since the last one succeeded.
    bool is_failing() const noexcept { return failed_at_.has_value(); }
    /// The server refused our name or password since then.
    bool is_misconfigured() const noexcept { return is_misconfigured_; }
    /// Since when the oldest connect that is pending is.
    std::optional<TimePoint> pending_since() const noexcept;

  private:
    enum class Stand : std::uint8_t { none, connecting, given_up, idle, lent, checking, resetting, closing };
    static constexpr std::size_t stands = 8;
    struct Connection {
        Stand stand = Stand::none;
        bool is_warned = false;
        PoolSlot replaces = 0; ///< it is opened in place of this one
        TimePoint since{};     ///< when it came to stand so
        TimePoint used_at{};   ///< by a borrower, or when it was opened
        TimePoint seen_well{}; ///< when it was used, opened or checked
        TimePoint retire_at{}, keep_alive_at{};
    };

    Connection& at(PoolSlot slot) { return connections_[slot - 1]; }
    const Connection& at(PoolSlot slot) const { return connections_[slot - 1]; }
    std::size_t count(Stand stand) const noexcept { return counts_[static_cast<std::size_t>(stand)]; }
    std::size_t total() const noexcept { return connections_.size() - count(Stand::none); }
    void change(PoolSlot slot, Stand stand, TimePoint now);
    void begin(PoolSlot slot, Stand stand, PoolAction action, TimePoint now, Actions& actions);
    void begin_close(PoolSlot slot, PoolClosing why, TimePoint now, Actions& actions);
    void make_available(PoolSlot slot, TimePoint now, Actions& actions);
    std::optional<PoolClosing> reason_to_close(PoolSlot slot, TimePoint now) const noexcept;

    PoolTicket take_first();
    void drop_front();
    void refuse_all(PoolRefusal why, TimePoint now, Actions& actions);

    void settle(TimePoint now, Actions& actions);
    void serve(TimePoint now, Actions& actions);
    void connect(TimePoint now, Actions& actions);
    void probe(TimePoint now, Actions& actions);
    bool give_up_one(TimePoint now, Actions& actions);
    void open(TimePoint now, Actions& actions, PoolSlot replaces = 0);
    void connect_has_failed(ConnectFault fault, TimePoint now, Actions& actions);
    Duration until_next_probe(TimePoint now);

    void warn_of_leaks(TimePoint now, Actions& actions);
    void look_after_idle(TimePoint now, Actions& actions);
    void retire(PoolSlot slot, TimePoint now, Actions& actions);
    void space_retirements(TimePoint now) noexcept;
    void be_due(TimePoint at) noexcept { due_ = at < due_ ? at : due_; }
    void be_due_for(const Connection& connection, TimePoint now) noexcept;
    void be_due_for_lent(const Connection& connection, TimePoint now) noexcept;

    std::size_t wanted() const noexcept;
    std::size_t coming() const noexcept {
        return count(Stand::connecting) + count(Stand::checking) + count(Stand::resetting);
    }
    bool has_room() const noexcept {
        return total() < rules_.max_size && count(Stand::connecting) < rules_.connect_limit;
    }
    bool is_fresh(const Connection& connection, TimePoint now) const noexcept;
    bool may_retire(const Connection& connection, TimePoint now) const noexcept;
    bool can_anything_come_back() const noexcept;
    bool somebody_cares(TimePoint now) const noexcept;
    bool has_just_failed(TimePoint now) const noexcept;
    Duration longest_usual_connect() const noexcept;
    PoolSlot oldest(Stand stand, PoolSlot but = 0) const noexcept;
    Duration between(Duration least, Duration most) noexcept;

    PoolRules rules_;
    BackoffRandom random_;
    std::vector<Connection> connections_; // by slot - 1
    std::vector<PoolSlot> unused_;
    std::array<std::size_t, stands> counts_{};
    std::vector<PoolSlot> idle_; // who was seen to work last is the last

    std::deque<bool> line_; // each ticket from `first_ticket_` on: whether it waits still
    PoolTicket first_ticket_ = 1;
    std::size_t waiting_ = 0;

    std::size_t ramp_;                   // connects at once, for now
    std::optional<Duration> usual_;      // how long the last connect took
    TimePoint connected_at_{};           // when the last one began
    std::optional<TimePoint> failed_at_; // the last one, if none has succeeded since
    bool is_misconfigured_ = false;
    bool is_probing_ = false; // connects fail, or take too long
    TimePoint probe_at_{};
    Duration uncared_{}; // between probes, when nobody cares; 0: somebody does
    std::optional<TimePoint> refused_at_;
    std::optional<TimePoint> withheld_until_; // for want of room outside; for who waits until that has come

    std::size_t checks_failed_ = 0; // in a row
    TimePoint next_retirement_ = TimePoint::min(), next_idle_closing_ = TimePoint::min();
    TimePoint idle_since_ = TimePoint::max(); // none of the idle ones for longer
    bool is_closed_ = false, is_drained_ = false;
    TimePoint due_;
};

} // namespace velostream
