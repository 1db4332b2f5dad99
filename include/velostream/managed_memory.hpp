// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "velostream/async/alarm.hpp"
#include "velostream/async/time_source.hpp"
#include "velostream/base/observer.hpp"
#include "velostream/base/result.hpp"
#include "velostream/base/units.hpp"
#include "velostream/config/streaming_config.hpp"
#include "velostream/core/memory_account.hpp"
#include "velostream/query_scope.hpp"
#include "velostream/reclaimer.hpp"
#include "velostream/system_memory.hpp"

namespace velostream {

/// How much of the limit is used.
struct MemoryUsage {
    double percentage = 0; ///< 0-100, of `max_memory_mb`; 0 where that is unset
    Bytes bytes_used = 0;
};

/// What one name, or one query, holds.
struct NamedMemoryStats {
    std::string name; ///< of a query: "query/" and its name
    Bytes used_bytes = 0;
    Bytes peak_bytes = 0; ///< never below the highest use; above it by at most what threads cached then
    std::uint64_t refusals = 0;
};

/// Memory at one moment.
struct MemoryStats {
    std::uint64_t used_mb = 0; ///< whole MiB
    /// Whole MiB: up to the limit; without one, what the control group or machine leaves.
    std::uint64_t available_mb = 0;
    double pressure_percentage = 0; ///< 0-100: the largest of accounted / limit, control group, stalls; see `pressure`
    PressureLevel pressure = PressureLevel::normal;

    Bytes used_bytes = 0;
    Bytes peak_bytes = 0; ///< never below the highest use; above it by at most what threads cached then
    Bytes available_bytes = 0;
    std::optional<Bytes> limit_bytes = std::nullopt;
    Bytes resident_bytes = 0; ///< of the whole process, as the kernel counts; 0 where it does not say
    /// Resident and not accounted for: the allocator's own needs, stacks, libraries, and whatever nobody charged.
    Bytes unaccounted_bytes = 0;
    std::uint64_t stalls = 0; ///< how often somebody waited and nothing came back; see `stall_timeout`
    /// By name: what `allocate_memory` and `account` were told, zeros where nothing was used, and "query/…" for each
    /// query that is open or holds something still, with all that its accounts hold. Nothing is in two of them:
    /// together they are `used_bytes`, but for what somebody takes from `memory()` itself or from children of it of his
    /// own.
    std::vector<NamedMemoryStats> names = {};
};

/// What a `ResourceManager` may be told beside the `StreamingConfig`.
struct ResourceManagerOptions {
    /// Gets the events that the config's flags select. Null: they are printed to `std::clog`, one line each; without
    /// any flag nothing is.
    std::shared_ptr<Observer> observer = nullptr;

    /// The parts of the limit that long-lived state (windows, groups) and what passes through (buffers, sends, retries)
    /// may hold, of the process and of each query. While both together are at most 1, neither takes the other's room;
    /// with more, whoever comes first may. Legal: each 0 < x ≤ 1. Default 0.75 and 0.25.
    double state_share = 0.75;
    double traffic_share = 0.25;

    /// Where somebody waits for memory or for a query's place, and nothing comes back for so long, the observer is
    /// told: a quarter to half of it later. Legal: > 0; `Duration::max()` for never. Default 30 s.
    Duration stall_timeout = std::chrono::seconds{30};

    /// A reclaimer that has not ended after so long has failed, and the next one is asked; it is not asked again before
    /// it has ended. Legal: > 0; `Duration::max()` for never. Default 30 s.
    Duration reclaim_timeout = std::chrono::seconds{30};

    /// How often pressure is judged though nobody takes or gives memory, for processes that may be idle while others
    /// use up the machine: see `pressure()`. With it the executor has work as long as the manager is there. Legal: > 0.
    /// Default: not at all.
    std::optional<Duration> pressure_poll_interval = std::nullopt;

    /// Where the kernel says how much memory there is.
    SystemMemoryFiles system_files = {};
};

class ManagedMemory;

namespace detail {

/// The clock of a manager, whatever its type.
struct ManagerClock {
    std::function<TimePoint()> now;
    std::function<TimePoint()> coarse_now; ///< perhaps somewhat behind `now`
    std::function<void(Alarm&, const asio::any_io_executor&, TimePoint, Alarm::OnEnd)> set_alarm;

    template <TimeSource Time>
    static ManagerClock of(const Time& time) {
        return {[time] { return time.now(); }, [time] { return time.coarse_now(); },
                [time](Alarm& alarm, const asio::any_io_executor& executor, TimePoint at, Alarm::OnEnd on_end) {
                    alarm.set(time, executor, at, std::move(on_end));
                }};
    }
};

} // namespace detail

/// Bytes that `allocate_memory` granted, until this object ends. Move-only. It may outlive its manager.
///
/// One that was moved from has no bytes and no name; beside asking for these and `release`, it may only be assigned to
/// and destroyed.
///
/// Threads: belongs to one thread or coroutine at a time.
class Allocation {
  public:
    Allocation(Allocation&&) noexcept = default;
    Allocation& operator=(Allocation&& other) noexcept;
    ~Allocation() { release(); }

    Bytes bytes() const noexcept { return reservation_.bytes(); }
    std::string_view name() const noexcept { return shared_ ? account_.name() : std::string_view{}; }

    /// Allocates `more` in addition, or changes nothing.
    ///
    /// Errors: as `allocate_memory`.
    Result<void> try_grow(Bytes more);
    /// Gives back `fewer` bytes of it; all of them if it has no more.
    void shrink(Bytes fewer) noexcept;
    /// Gives everything back now.
    void release() noexcept { shrink(bytes()); }

    /// Makes these bytes those of `account`, such as that of a query, or changes nothing.
    ///
    /// Errors: as `MemoryReservation::try_transfer`.
    Result<void> try_transfer(const MemoryAccount& account);

    /// An allocation of its own with `part` of these bytes, under the same name; all of them if there are no more.
    [[nodiscard]] Allocation split(Bytes part) noexcept { return {shared_, account_, reservation_.split(part)}; }
    /// Takes over the bytes of `other`. It costs no room.
    ///
    /// Errors: `std::errc::invalid_argument` if it is of another manager or name; then it keeps its bytes.
    Result<void> merge(Allocation&& other);

  private:
    friend class ManagedMemory;
    struct Shared;

    Allocation(std::shared_ptr<Shared> shared, MemoryAccount account, MemoryReservation reservation) noexcept
        : shared_(std::move(shared)), account_(std::move(account)), reservation_(std::move(reservation)) {}

    std::shared_ptr<Shared> shared_;
    MemoryAccount account_;
    MemoryReservation reservation_; // ends before its account
};

/// The memory of a process under one limit: the half of a `ResourceManager` that does not need its connections.
///
/// All names share the limit strictly: two allocations that together exceed it never both succeed. Exactly at the limit
/// is allowed. Bytes come back once, also on exceptions, cancellation and moves.
///
/// Threads: safe to share.
class ManagedMemory {
  public:
    ManagedMemory(const ManagedMemory&) = delete;
    ManagedMemory& operator=(const ManagedMemory&) = delete;

    /// `bytes` for `name`, counted until the allocation ends. Names are remembered with their figures: use few, and
    /// `account(name)` where a lookup for each allocation is too much. The names "state" and "traffic" are `state()`
    /// and `traffic()`, with their limits.
    ///
    /// Errors: `Errc::memory_limit_exceeded`, saying name, asked, used and limit, and whether waiting could help.
    [[nodiscard]] Result<Allocation> allocate_memory(std::string_view name, Bytes bytes);

    /// The account that `allocate_memory(name, …)` charges, for components and hot paths: a reservation from it costs
    /// one atomic operation, and no event tells of it.
    MemoryAccount account(std::string_view name);

    /// The account of the whole process: the limit, and everything below it.
    const MemoryAccount& memory() const noexcept;
    /// For what stays: windows, groups. Its limit is `state_share` of the whole, also after `memory().set_limit`.
    const MemoryAccount& state() const noexcept;
    /// For what passes through: buffers, sends, retries. Its limit is `traffic_share` of the whole, in the same way.
    const MemoryAccount& traffic() const noexcept;

    /// For code without queries: records that its windows hold together, one unit each. Its limit is
    /// `max_window_buffer_size`; each query has an account of its own (`QueryScope::window_records`) with the same one.
    /// Refuses with `Errc::window_buffer_full`.
    const MemoryAccount& window_records() const noexcept;
    /// For code without queries: groups that its aggregations hold together, one unit each. Its limit is
    /// `max_aggregation_groups`; each query has an account of its own (`QueryScope::groups`) with the same one.
    /// Refuses with `Errc::group_refused`.
    const MemoryAccount& groups() const noexcept;
    /// Bytes of files, such as those that state is spilled to. Without a limit until `set_limit` gives it one. Refuses
    /// with `Errc::disk_quota_exceeded`.
    const MemoryAccount& disk() const noexcept;

    /// Opens a query: one of `max_concurrent_queries`, with accounts of its own.
    ///
    /// Errors: `Errc::admission_refused` if so many are open, naming three of them, or if some wait for a place
    ///         (`async_admit` waits);
    ///         `std::errc::invalid_argument`, saying what is legal.
    [[nodiscard]] Result<QueryScope> open_query(const QueryLimits& limits = {});

    /// `max_concurrent_queries`, one unit for each query that is open.
    const MemoryAccount& queries() const noexcept;

    /// `max_connections`, one unit a connection: for further pools that shall share it.
    const MemoryAccount& connections() const noexcept;

    /// Exact if nothing changes during the call; never too low.
    MemoryUsage get_memory_usage() const;

    /// Reads the kernel's files anew, so call it once a second and not once a record.
    MemoryStats get_memory_stats();

    /// High at `memory_pressure_threshold`, critical at 0.95, and back only 0.05 below. Judged by accounted / limit,
    /// the control group and stalls; without `max_memory_mb` by the control group, the machine and stalls. What the
    /// kernel says is read at most four times a second for this.
    ///
    /// Judged by each `allocate_memory`, each end of an allocation and each `get_memory_stats`, inside of that call;
    /// where very many accounts are in place, or more than 64 have credit that threads cache, that credit counts as
    /// used between the four times a second that it is counted, so that the cost of a call does not grow with them. By
    /// what is reserved from accounts, such as those of a query, and by a changed limit: on the manager's executor,
    /// soon after use has passed a mark (those above, and while it is not normal every hundredth of the limit); what
    /// threads take from and give to the credit that they have at hand passes none (see `MemoryAccount::peak`). A level
    /// lasts for 250 ms at least; where use has fallen before, it falls then. What the kernel says while nothing of
    /// that happens, such as in an idle process, changes nothing: see `pressure_poll_interval`.
    PressureLevel pressure() const noexcept;

    /// Asks `reclaimer`, whose memory `account` counts, when memory is short: when pressure is high, and when anybody
    /// is refused bytes of `memory()`'s tree for want of room, or waits for them, by whatever call. They are asked one
    /// at a time, cheaper kinds first, for what is missing at that time: at the level that lacks room, if `account`
    /// lies within it, until there is room for what was wanted there; and for the process until it is below the
    /// threshold. When nobody is left, nobody is asked for 250 ms, and after that again, if somebody waits still.
    ///
    /// One that throws, frees nothing or takes longer than `reclaim_timeout` has failed, and the next one is asked: so
    /// it is with one whose executor is stopped, too.
    [[nodiscard]] Registration add_reclaimer(asio::any_io_executor executor, MemoryAccount account,
                                             std::shared_ptr<Reclaimer> reclaimer);
    ReclaimStats get_reclaim_stats() const;

    /// Calls `listener` on `executor` after the level of pressure has changed, one call at a time. Changes that come
    /// before it runs are one: it is told the level of that moment; and one that comes while it runs is told after it.
    /// Whoever pauses all
    /// work until the level is normal needs a `pressure_poll_interval`: it may be the kernel's figures that made it.
    ///
    /// What it throws goes to whoever runs that executor, such as out of `io_context::run`; it and the other listeners
    /// are told all the same. One whose executor is stopped is told when that goes on.
    [[nodiscard]] Registration add_pressure_listener(asio::any_io_executor executor,
                                                     std::function<void(PressureLevel)> listener);

    /// Gets the events of every component it is given to, and passes on what the config's flags select.
    const std::shared_ptr<Observer>& observer() const noexcept;

  protected:
    /// Throws `std::invalid_argument` that lists every problem of `config` and `options`.
    ManagedMemory(const asio::any_io_executor& executor, const StreamingConfig& config,
                  const ResourceManagerOptions& options, detail::ManagerClock clock);
    ~ManagedMemory();

    /// What is there as long as anything of the manager is: a wait may outlive it.
    using Kept = std::shared_ptr<Allocation::Shared>;
    const Kept& kept() const noexcept { return shared_; }

    /// What is wrong with them, if anything is.
    static std::optional<Error> illegal(const QueryLimits& limits);
    /// What waits for memory or a place goes through these when it was granted, or refused for good.
    static Result<Allocation> allocated(const Kept& kept, const MemoryAccount& account, Bytes bytes,
                                        Result<MemoryReservation> reserved);
    static Result<QueryScope> admitted(const Kept& kept, const MemoryAccount& query,
                                       std::optional<std::uint64_t> max_memory_mb, Result<MemoryReservation> place);
    /// Where a query of this name takes its place.
    MemoryAccount place_for(std::string_view query) const;

  private:
    Kept shared_;
};

} // namespace velostream
