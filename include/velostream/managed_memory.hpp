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

/// What one name holds.
struct NamedMemoryStats {
    std::string name;
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
    std::uint64_t stalls = 0;                 ///< how often somebody waited and nothing came back; see `stall_timeout`
    std::vector<NamedMemoryStats> names = {}; ///< by name; one that was never used shows zeros
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

    /// Where the kernel says how much memory there is.
    SystemMemoryFiles system_files = {};
};

class ManagedMemory;

namespace detail {

/// The clock of a manager, whatever its type.
struct ManagerClock {
    std::function<TimePoint()> coarse_now;
    std::function<void(Alarm&, const asio::any_io_executor&, TimePoint, Alarm::OnEnd)> set_alarm;

    template <TimeSource Time>
    static ManagerClock of(const Time& time) {
        return {[time] { return time.coarse_now(); },
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
    /// Takes over the bytes of `other`, which must be of the same manager and name.
    void merge(Allocation&& other) noexcept { reservation_.merge(std::move(other.reservation_)); }

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
    /// `account(name)` where a lookup for each allocation is too much.
    ///
    /// Errors: `Errc::memory_limit_exceeded`, saying name, asked, used and limit, and whether waiting could help.
    [[nodiscard]] Result<Allocation> allocate_memory(std::string_view name, Bytes bytes);

    /// The account that `allocate_memory(name, …)` charges, for components and hot paths: a reservation from it costs
    /// one atomic operation, and no event tells of it.
    MemoryAccount account(std::string_view name);

    /// The account of the whole process: the limit, and everything below it.
    const MemoryAccount& memory() const noexcept;
    /// For what stays: windows, groups. Its limit is `state_share` of the whole.
    const MemoryAccount& state() const noexcept;
    /// For what passes through: buffers, sends, retries. Its limit is `traffic_share` of the whole.
    const MemoryAccount& traffic() const noexcept;

    /// Opens a query: one of `max_concurrent_queries`, with accounts of its own.
    ///
    /// Errors: `Errc::admission_refused` if so many are open, or if some wait for a place (`async_admit` waits);
    ///         `std::errc::invalid_argument`, saying what is legal.
    [[nodiscard]] Result<QueryScope> open_query(const QueryLimits& limits = {});

    /// `max_concurrent_queries`, one unit for each query that is open.
    const MemoryAccount& queries() const noexcept;

    /// Exact if nothing changes during the call; never too low.
    MemoryUsage get_memory_usage() const;

    /// Reads the kernel's files anew, so call it once a second and not once a record.
    MemoryStats get_memory_stats();

    /// Judged by each `allocate_memory`, each end of an allocation and each `get_memory_stats`. High at
    /// `memory_pressure_threshold`, critical at 0.95, and back only 0.05 below. Judged by accounted / limit, the
    /// control group and stalls; without `max_memory_mb` by the control group, the machine and stalls. What the kernel
    /// says is read at most four times a second for this.
    PressureLevel pressure() const;

    /// Asks `reclaimer`, whose memory `account` counts, when memory is short: when pressure is high, when an allocation
    /// is refused, and when one waits. Reclaimers are asked one at a time, cheaper kinds first, until use is below the
    /// threshold again (or what was wanted fits) or nobody is left; after that not for 250 ms.
    [[nodiscard]] Registration add_reclaimer(asio::any_io_executor executor, MemoryAccount account,
                                             std::shared_ptr<Reclaimer> reclaimer);
    ReclaimStats get_reclaim_stats() const;

    /// Calls `listener` on `executor` after the level of pressure has changed. Changes that come before it runs are
    /// one: it is told the level of that moment.
    [[nodiscard]] Registration add_pressure_listener(asio::any_io_executor executor,
                                                     std::function<void(PressureLevel)> listener);

    /// Gets the events of every component it is given to, and passes on what the config's flags select.
    const std::shared_ptr<Observer>& observer() const noexcept;

  protected:
    /// Throws `std::invalid_argument` that lists every problem of `config` and `options`.
    ManagedMemory(const asio::any_io_executor& executor, const StreamingConfig& config,
                  const ResourceManagerOptions& options, detail::ManagerClock clock);
    ~ManagedMemory();

    /// What waits for memory or a place goes through these when it was granted, or refused for good.
    Result<Allocation> allocated(const MemoryAccount& account, Bytes bytes, Result<MemoryReservation> reserved);
    Result<QueryScope> admitted(const QueryLimits& limits, Result<MemoryReservation> place);
    /// Lets reclaimers run if `account` lacks room for `bytes`.
    void make_room(const MemoryAccount& account, Bytes bytes);

  private:
    std::shared_ptr<Allocation::Shared> shared_;
    double state_share_, traffic_share_;
};

} // namespace velostream
