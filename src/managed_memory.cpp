// SPDX-License-Identifier: Apache-2.0
#include "velostream/managed_memory.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <cmath>
#include <iostream>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>

#include "reclaim_coordinator.hpp"
#include "stall_watch.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/core/pressure_gauge.hpp"
#include "velostream/filtering_observer.hpp"
#include "weak_list.hpp"

namespace velostream {

namespace {

constexpr Duration system_memory_age = std::chrono::milliseconds{250};
constexpr Duration reclaim_rest = std::chrono::milliseconds{250};

std::optional<Bytes> limit_of(const StreamingConfig& config) {
    if (!config.max_memory_mb) return std::nullopt;
    return *config.max_memory_mb * mebibyte; // validated: does not wrap
}

std::optional<Bytes> share_of(std::optional<Bytes> limit, double share) {
    if (!limit) return std::nullopt;
    return static_cast<Bytes>(static_cast<long double>(*limit) * static_cast<long double>(share));
}

double percentage_of(Bytes used, std::optional<Bytes> limit) {
    if (!limit || *limit == 0) return 0;
    return std::min(100.0, 100.0 * static_cast<double>(used) / static_cast<double>(*limit));
}

bool any_flag(const StreamingConfig& config) {
    return config.log_resource_allocations || config.log_circuit_breaker_state_changes || config.log_retry_attempts ||
           config.debug_resource_management || config.debug_circuit_breakers || config.debug_retries;
}

std::shared_ptr<Observer> sink_for(const StreamingConfig& config, const ResourceManagerOptions& options) {
    if (options.observer || !any_flag(config)) return options.observer;
    return std::make_shared<StreamObserver>(std::clog);
}

void check(const StreamingConfig& config, const ResourceManagerOptions& options) {
    auto problems = validate(config);
    for (const auto& [field, share] :
         {std::pair{"state_share", options.state_share}, std::pair{"traffic_share", options.traffic_share}}) {
        if (!(share > 0 && share <= 1)) problems.push_back({field, std::to_string(share), "must be > 0 and ≤ 1"});
    }
    if (options.stall_timeout <= Duration{0})
        problems.push_back({"stall_timeout", std::to_string(options.stall_timeout.count()) + " ns", "must be > 0"});
    throw_if_any(problems);
}

} // namespace

// What the manager and its allocations share. The accounts and the observer are set once; the rest is guarded.
struct Allocation::Shared : std::enable_shared_from_this<Allocation::Shared> {
    Shared(const asio::any_io_executor& executor, const StreamingConfig& config, const ResourceManagerOptions& options,
           detail::ManagerClock clock)
        : waiting(std::make_shared<StallWatch::Listener>()),
          process("process", limit_of(config), waiting),
          queries("queries", config.effective_limits().max_concurrent_queries, waiting),
          state(process.child("state", share_of(limit_of(config), options.state_share))),
          traffic(process.child("traffic", share_of(limit_of(config), options.traffic_share))),
          names{{"state", state}, {"traffic", traffic}},
          filter(std::make_shared<FilteringObserver>(config, sink_for(config, options))),
          observer(filter),
          coarse_now(std::move(clock.coarse_now)),
          files(options.system_files),
          threshold(config.effective_limits().memory_pressure_threshold),
          reclaims(std::make_shared<ReclaimCoordinator>(process, coarse_now, reclaim_rest)),
          stalls(std::make_shared<StallWatch>(
              executor, coarse_now, std::move(clock.set_alarm), options.stall_timeout,
              [to = filter](const MemoryStalled& stall) { to->on_memory_stalled(stall); })),
          gauge(threshold) {
        stalls->add(process);
        stalls->add(queries);
        waiting->watch(stalls);
    }

    MemoryAccount named(std::string_view name);
    void on_allocated(const MemoryAccount& account, Bytes bytes) noexcept;
    void on_released(const MemoryAccount& account, Bytes bytes) noexcept;
    void on_refused(const MemoryAccount& account, Bytes bytes, const Error& error) noexcept;

    struct Sight {
        SystemMemory system;
        PressureLevel level;
    };
    Sight look(bool fresh);
    double pressure_percentage(const SystemMemory& system, Bytes used) const;
    void judge_pressure(double percentage, Bytes used);
    void judge_pressure() noexcept;
    void tell_listeners();
    PressureLevel level();
    void make_room(Bytes bytes);

    const std::shared_ptr<StallWatch::Listener> waiting;
    const MemoryAccount process, queries, state, traffic;

    std::shared_mutex names_mutex;
    std::map<std::string, MemoryAccount, std::less<>> names; // guarded by names_mutex

    const std::shared_ptr<FilteringObserver> filter;
    const std::shared_ptr<Observer> observer; // the same
    const std::function<TimePoint()> coarse_now;
    const SystemMemoryFiles files;
    const double threshold;

    const std::shared_ptr<ReclaimCoordinator> reclaims;
    const std::shared_ptr<StallWatch> stalls;

    struct Listener {
        asio::any_io_executor executor;
        std::function<void(PressureLevel)> call;
        std::atomic<bool> is_posted{false};
    };
    void tell(const std::shared_ptr<Listener>& listener);
    std::atomic<bool> owes_news{false}; // of the level, to the listeners
    std::mutex listeners_mutex;
    WeakList<Listener> listeners; // guarded by listeners_mutex

    std::mutex pressure_mutex; // guards what follows
    PressureGauge gauge;
    SystemMemory system;
    std::optional<TimePoint> system_read_at;
};

MemoryAccount Allocation::Shared::named(std::string_view name) {
    {
        const std::shared_lock lock{names_mutex};
        if (const auto found = names.find(name); found != names.end()) return found->second;
    }
    const std::scoped_lock lock{names_mutex};
    if (const auto found = names.find(name); found != names.end()) return found->second;
    return names.emplace(name, process.child(std::string{name})).first->second;
}

void Allocation::Shared::on_allocated(const MemoryAccount& account, Bytes bytes) noexcept {
    if (filter->passes_allocations())
        filter->on_memory_allocated({process.name(), account.name(), bytes, process.used(), process.limit()});
    judge_pressure();
}

void Allocation::Shared::on_released(const MemoryAccount& account, Bytes bytes) noexcept {
    if (filter->passes_allocations())
        filter->on_memory_released({process.name(), account.name(), bytes, process.used()});
    judge_pressure();
}

void Allocation::Shared::on_refused(const MemoryAccount& account, Bytes bytes, const Error& error) noexcept {
    filter->on_memory_refused({process.name(), account.name(), bytes, error});
    try {
        const auto lowest = account.lowest_limit();
        if (lowest && bytes <= *lowest) make_room(bytes);
    } catch (...) {
        return; // no memory to ask for some
    }
    judge_pressure();
}

auto Allocation::Shared::look(bool fresh) -> Sight {
    const auto now = coarse_now();
    {
        const std::scoped_lock lock{pressure_mutex};
        if (!fresh && system_read_at && now - *system_read_at < system_memory_age) return {system, gauge.level()};
        system_read_at = now; // others go on with the last figures while this thread reads
    }
    const auto read = read_system_memory(files);
    const std::scoped_lock lock{pressure_mutex};
    system = read;
    return {read, gauge.level()};
}

double Allocation::Shared::pressure_percentage(const SystemMemory& system_now, Bytes used) const {
    const auto limit = process.limit();
    auto fraction = std::max(system_now.cgroup_used_fraction, system_now.stalled_fraction);
    if (!limit) fraction = std::max(fraction, system_now.machine_used_fraction());
    return std::clamp(std::max(percentage_of(used, limit), 100.0 * fraction), 0.0, 100.0);
}

void Allocation::Shared::judge_pressure(double percentage, Bytes used) {
    std::optional<PressureGauge::Change> change;
    {
        const std::scoped_lock lock{pressure_mutex};
        change = gauge.update(percentage / 100, coarse_now());
    }
    if (change) {
        owes_news = true;
        filter->on_pressure_changed({change->from, change->to, percentage});
    }
    if (owes_news) tell_listeners();
    if (percentage < 100 * threshold || used == 0) return; // not ours to free
    // Just below the threshold, whichever of the inputs is above it.
    const auto target = static_cast<long double>(used) * static_cast<long double>(100 * threshold / percentage);
    reclaims->request(static_cast<Bytes>(std::ceil(target)) - 1);
}

void Allocation::Shared::judge_pressure() noexcept {
    try {
        const auto [now, level] = look(false);
        // Far from the threshold the figure that costs nothing settles it.
        const auto at_most = pressure_percentage(now, process.used_at_most());
        if (level == PressureLevel::normal && at_most < 100 * threshold && !owes_news) return;
        const auto used = process.used();
        judge_pressure(pressure_percentage(now, used), used);
    } catch (...) {
        return; // no memory to read the kernel's files, or to tell somebody: judged next time
    }
}

void Allocation::Shared::tell_listeners() {
    owes_news = false; // a change after this is told, too
    try {
        std::vector<std::shared_ptr<Listener>> told;
        {
            const std::scoped_lock lock{listeners_mutex};
            told = listeners.all();
        }
        for (const auto& listener : told) tell(listener);
    } catch (...) {
        owes_news = true; // no memory for it: next time
        throw;
    }
}

void Allocation::Shared::tell(const std::shared_ptr<Listener>& listener) {
    if (listener->is_posted.exchange(true)) return;
    try {
        asio::post(listener->executor, [weak = std::weak_ptr{listener}, self = shared_from_this()] {
            const auto alive = weak.lock();
            if (!alive) return;
            alive->is_posted = false; // before the level is read: a later change tells it again
            alive->call(self->level());
        });
    } catch (...) {
        listener->is_posted = false;
        throw;
    }
}

PressureLevel Allocation::Shared::level() {
    const std::scoped_lock lock{pressure_mutex};
    return gauge.level();
}

void Allocation::Shared::make_room(Bytes bytes) {
    const auto used = process.used();
    reclaims->request(used - std::min(used, bytes));
}

Allocation& Allocation::operator=(Allocation&& other) noexcept {
    if (this == &other) return *this;
    release();
    reservation_ = std::move(other.reservation_);
    account_ = std::move(other.account_);
    shared_ = std::move(other.shared_);
    return *this;
}

Result<void> Allocation::try_grow(Bytes more) {
    auto grown = reservation_.try_grow(more);
    if (grown)
        shared_->on_allocated(account_, more);
    else
        shared_->on_refused(account_, more, grown.error());
    return grown;
}

Result<void> Allocation::try_transfer(const MemoryAccount& account) {
    auto transferred = reservation_.try_transfer(account);
    if (!transferred) {
        shared_->on_refused(account, bytes(), transferred.error());
        return transferred;
    }
    const auto before = std::exchange(account_, account);
    shared_->on_released(before, bytes());
    shared_->on_allocated(account_, bytes());
    return transferred;
}

void Allocation::shrink(Bytes fewer) noexcept {
    fewer = std::min(fewer, bytes());
    if (fewer == 0) return;
    reservation_.shrink(fewer);
    shared_->on_released(account_, fewer);
}

ManagedMemory::ManagedMemory(const asio::any_io_executor& executor, const StreamingConfig& config,
                             const ResourceManagerOptions& options, detail::ManagerClock clock)
    : state_share_(options.state_share), traffic_share_(options.traffic_share) {
    check(config, options);
    shared_ = std::make_shared<Allocation::Shared>(executor, config, options, std::move(clock));
}

ManagedMemory::~ManagedMemory() {
    shared_->stalls->end();
}

Result<Allocation> ManagedMemory::allocate_memory(std::string_view name, Bytes bytes) {
    const auto account = shared_->named(name);
    return allocated(account, bytes, account.try_reserve(bytes));
}

Result<Allocation> ManagedMemory::allocated(const MemoryAccount& account, Bytes bytes,
                                            Result<MemoryReservation> reserved) {
    if (!reserved) {
        const auto error = reserved.error();
        if (error != Errc::cancelled) shared_->on_refused(account, bytes, error); // who left was refused nothing
        return error;
    }
    Allocation allocation{shared_, account, std::move(*reserved)};
    shared_->on_allocated(account, bytes);
    return allocation;
}

Result<QueryScope> ManagedMemory::open_query(const QueryLimits& limits) {
    return admitted(limits, queries().try_reserve(1));
}

Result<QueryScope> ManagedMemory::admitted(const QueryLimits& limits, Result<MemoryReservation> place) {
    if (!place) {
        const auto error = place.error();
        if (error == Errc::cancelled) return error;
        const auto waiting = queries().waiting();
        auto text = "query '" + limits.name + "': " + std::to_string(queries().used()) +
                    " of max_concurrent_queries = " + std::to_string(*queries().limit()) + " are open";
        if (waiting != 0) text += ", " + std::to_string(waiting) + " wait";
        const Error refusal{Errc::admission_refused, std::move(text)};
        return error == Errc::deadline_exceeded ? error.with_inner(refusal) : refusal;
    }
    std::optional<Bytes> limit;
    if (limits.max_memory_mb) {
        constexpr auto most = unlimited_units / mebibyte;
        if (*limits.max_memory_mb == 0 || *limits.max_memory_mb > most)
            return Error{make_error_code(boost::system::errc::invalid_argument),
                         "query '" + limits.name + "': max_memory_mb = " + std::to_string(*limits.max_memory_mb) +
                             ": must be 1 to " + std::to_string(most)};
        limit = *limits.max_memory_mb * mebibyte;
    }
    const auto& process = shared_->process;
    auto smallest = limit;
    if (const auto all = process.limit()) smallest = std::min(smallest.value_or(*all), *all);
    return QueryScope{process.child(limits.name, limit), share_of(smallest, state_share_),
                      share_of(smallest, traffic_share_), std::move(*place)};
}

MemoryAccount ManagedMemory::account(std::string_view name) {
    return shared_->named(name);
}
const MemoryAccount& ManagedMemory::memory() const noexcept {
    return shared_->process;
}
const MemoryAccount& ManagedMemory::queries() const noexcept {
    return shared_->queries;
}
const MemoryAccount& ManagedMemory::state() const noexcept {
    return shared_->state;
}
const MemoryAccount& ManagedMemory::traffic() const noexcept {
    return shared_->traffic;
}

MemoryUsage ManagedMemory::get_memory_usage() const {
    const auto used = shared_->process.used();
    return {percentage_of(used, shared_->process.limit()), used};
}

MemoryStats ManagedMemory::get_memory_stats() {
    const auto system = shared_->look(true).system;
    const auto& process = shared_->process;
    MemoryStats stats;
    stats.used_bytes = process.used();
    stats.peak_bytes = process.peak();
    stats.limit_bytes = process.limit();
    stats.available_bytes =
        stats.limit_bytes ? *stats.limit_bytes - std::min(*stats.limit_bytes, stats.used_bytes) : system.available();
    stats.resident_bytes = system.process_resident;
    stats.unaccounted_bytes = stats.resident_bytes - std::min(stats.resident_bytes, stats.used_bytes);
    stats.used_mb = stats.used_bytes / mebibyte;
    stats.available_mb = stats.available_bytes / mebibyte;
    stats.pressure_percentage = shared_->pressure_percentage(system, stats.used_bytes);
    shared_->judge_pressure(stats.pressure_percentage, stats.used_bytes);
    stats.pressure = pressure();
    stats.stalls = shared_->stalls->stalls();

    const std::shared_lock lock{shared_->names_mutex};
    for (const auto& [name, account] : shared_->names) {
        stats.names.push_back({name, account.used(), account.peak(), account.refusals()});
    }
    return stats;
}

PressureLevel ManagedMemory::pressure() const {
    return shared_->level();
}

Registration ManagedMemory::add_reclaimer(asio::any_io_executor executor, MemoryAccount account,
                                          std::shared_ptr<Reclaimer> reclaimer) {
    return Registration{shared_->reclaims->add(std::move(executor), std::move(account), std::move(reclaimer))};
}

ReclaimStats ManagedMemory::get_reclaim_stats() const {
    return shared_->reclaims->stats();
}

void ManagedMemory::make_room(const MemoryAccount& account, Bytes bytes) {
    const auto lowest = account.lowest_limit();
    if (lowest && bytes <= *lowest && account.available() < bytes) shared_->make_room(bytes);
}

Registration ManagedMemory::add_pressure_listener(asio::any_io_executor executor,
                                                  std::function<void(PressureLevel)> listener) {
    auto entry = std::make_shared<Allocation::Shared::Listener>();
    entry->executor = std::move(executor);
    entry->call = std::move(listener);
    const std::scoped_lock lock{shared_->listeners_mutex};
    shared_->listeners.add(entry);
    return Registration{std::move(entry)};
}

const std::shared_ptr<Observer>& ManagedMemory::observer() const noexcept {
    return shared_->observer;
}

} // namespace velostream
