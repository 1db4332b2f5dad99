// SPDX-License-Identifier: Apache-2.0
#include "velostream/managed_memory.hpp"

#include <algorithm>
#include <iostream>
#include <stdexcept>

#include "name_table.hpp"
#include "pressure_watch.hpp"
#include "reclaim_coordinator.hpp"
#include "stall_watch.hpp"
#include "tied_alarm.hpp"
#include "velostream/async/errand.hpp"
#include "velostream/config/validate.hpp"
#include "velostream/filtering_observer.hpp"

namespace velostream {

namespace {

constexpr Duration reclaim_rest = std::chrono::milliseconds{250};

std::optional<Bytes> limit_of(const StreamingConfig& config) {
    if (!config.max_memory_mb) return std::nullopt;
    return *config.max_memory_mb * mebibyte; // validated: does not wrap
}

std::optional<Bytes> share_of(std::optional<Bytes> limit, double share) {
    if (!limit) return std::nullopt;
    return static_cast<Bytes>(static_cast<long double>(*limit) * static_cast<long double>(share));
}

std::optional<Bytes> smaller(std::optional<Bytes> one, std::optional<Bytes> other) {
    if (!one || !other) return one ? one : other;
    return std::min(*one, *other);
}

double percentage_of(Bytes used, std::optional<Bytes> limit) {
    if (!limit || used == 0) return 0;
    if (used >= *limit) return 100; // it may have been lowered since, to nothing too
    return 100.0 * static_cast<double>(used) / static_cast<double>(*limit);
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
    const auto check_above_zero = [&problems](const char* field, Duration duration) {
        if (duration <= Duration{0})
            problems.push_back({field, std::to_string(duration.count()) + " ns", "must be > 0"});
    };
    check_above_zero("stall_timeout", options.stall_timeout);
    check_above_zero("reclaim_timeout", options.reclaim_timeout);
    if (options.pressure_poll_interval) check_above_zero("pressure_poll_interval", *options.pressure_poll_interval);
    throw_if_any(problems);
}

/// What the manager's tree tells of goes from here to whom it concerns. Knows them weakly: the tree may outlive them.
class TreeListener final : public WaitingListener {
  public:
    std::weak_ptr<StallWatch> stalls;
    std::weak_ptr<ReclaimCoordinator> reclaims;
    std::weak_ptr<Errand> tending;
    std::function<void()> limit_changed;

    void on_waiting_changed() noexcept override { StallWatch::Listener::tell(stalls); }
    void on_first_changed() noexcept override {
        const auto to = reclaims.lock();
        if (to && to->is_of_use()) on_mark_passed();
    }
    void on_refused(const MemoryAccount& account, std::uint64_t bytes) noexcept override {
        if (const auto to = reclaims.lock()) to->on_refused(account, bytes);
    }
    void on_mark_passed() noexcept override {
        if (const auto errand = tending.lock()) errand->soon();
    }
    void on_limit_changed() noexcept override {
        if (limit_changed) limit_changed();
    }
};

} // namespace

// What the manager, its allocations and its waits share. Set once; what changes in it is safe to share.
struct Allocation::Shared : std::enable_shared_from_this<Allocation::Shared> {
    Shared(const asio::any_io_executor& executor, const StreamingConfig& config, const ResourceManagerOptions& options,
           const detail::ManagerClock& clock)
        : state_share(options.state_share),
          traffic_share(options.traffic_share),
          tree(std::make_shared<TreeListener>()),
          waiting(std::make_shared<StallWatch::Listener>()),
          process("process", limit_of(config), tree),
          queries("queries", BudgetUnit::queries, config.effective_limits().max_concurrent_queries, waiting),
          connections("connections", BudgetUnit::connections, config.max_connections, waiting),
          all_window_records("process", BudgetUnit::records, std::nullopt, waiting),
          all_groups("process", BudgetUnit::groups, std::nullopt, waiting),
          window_records(all_window_records.child("window_records", config.effective_limits().max_window_buffer_size)),
          groups(all_groups.child("groups", config.effective_limits().max_aggregation_groups)),
          disk("disk", BudgetUnit::disk_bytes, std::nullopt, waiting),
          window_records_of_query(config.effective_limits().max_window_buffer_size),
          groups_of_query(config.effective_limits().max_aggregation_groups),
          state(process.child("state", share_of(limit_of(config), state_share))),
          traffic(process.child("traffic", share_of(limit_of(config), traffic_share))),
          filter(std::make_shared<FilteringObserver>(config, sink_for(config, options))),
          observer(filter),
          pressure(std::make_shared<PressureWatch>(
              process, config.effective_limits().memory_pressure_threshold, options.system_files, clock.coarse_now,
              [to = filter](const PressureChanged& change) { to->on_pressure_changed(change); })),
          stalls(std::make_shared<StallWatch>(
              clock.coarse_now, options.stall_timeout,
              [to = filter](const MemoryStalled& stall) { to->on_memory_stalled(stall); })),
          now(clock.now),
          coarse_now(clock.coarse_now),
          poll_interval(options.pressure_poll_interval) {
        for (const auto& account : {state, traffic}) named(account.name(), [&account] { return account; });
        for (const auto& root : {process, queries, connections, all_window_records, all_groups, disk})
            stalls->add(root);
        stalls->begin(executor, clock.set_alarm);
        waiting->watch(stalls);
    }

    /// Once, before anybody knows it.
    void begin(const asio::any_io_executor& executor, const ResourceManagerOptions& options,
               const detail::ManagerClock& clock);
    void end() noexcept;

    template <class Make>
    const MemoryAccount& named(std::string_view name, Make make) {
        return names.find_or_make(name, make);
    }
    const MemoryAccount& named(std::string_view name) {
        return named(name, [&] { return process.child(std::string{name}); });
    }
    void on_allocated(const MemoryAccount& account, Bytes bytes) noexcept;
    void on_released(const MemoryAccount& account, Bytes bytes) noexcept;
    void on_refused(const MemoryAccount& account, Bytes bytes, const Error& error) noexcept;
    void on_limit_changed() noexcept;
    // Exact where that is cheap, else never too low.
    Bytes used_for_events() const noexcept { return process.is_used_cheap() ? process.used() : process.used_at_most(); }
    // Of a query's account, where the process has this limit.
    static void set_share(const MemoryAccount& part, std::optional<Bytes> limit, double share) noexcept {
        part.set_limit(share_of(smaller(part.parent()->limit(), limit), share));
    }
    // Calls `set` with the limit of the process. Whoever changes it at the same time comes here, too, so the last of
    // them finds what he set.
    template <class Set>
    void follow_limit(Set set) noexcept {
        for (auto limit = process.limit();;) {
            set(limit);
            const auto set_since = process.limit();
            if (limit == set_since) return;
            limit = set_since;
        }
    }

    void judge_pressure() noexcept { see_to(pressure->judge(coarse_now())); }
    void see_to(const PressureWatch::Todo& todo) noexcept;
    void tend() noexcept;
    void keep_polling() noexcept;

    const double state_share, traffic_share;
    const std::shared_ptr<TreeListener> tree;
    const std::shared_ptr<StallWatch::Listener> waiting;
    const MemoryAccount process, queries, connections;
    const MemoryAccount all_window_records, all_groups, window_records, groups, disk;
    const std::uint64_t window_records_of_query, groups_of_query;
    const MemoryAccount state, traffic;
    NameTable names;

    const std::shared_ptr<FilteringObserver> filter;
    const std::shared_ptr<Observer> observer; // the same
    const std::shared_ptr<PressureWatch> pressure;
    const std::shared_ptr<StallWatch> stalls;
    std::shared_ptr<ReclaimCoordinator> reclaims;
    std::shared_ptr<Errand> tending; // of pressure, its listeners and reclaims: see tend()
    const std::function<TimePoint()> now, coarse_now;

    std::optional<TiedAlarm> fall; // of the level, which may come to its end while nobody calls
    const std::optional<Duration> poll_interval;
    std::optional<TiedAlarm> poll;
};

void Allocation::Shared::begin(const asio::any_io_executor& executor, const ResourceManagerOptions& options,
                               const detail::ManagerClock& clock) {
    const auto tend_to_it = [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->tend();
    };
    tending = std::make_shared<Errand>(executor, tend_to_it);
    fall.emplace(executor, clock.set_alarm, tend_to_it);
    poll.emplace(executor, clock.set_alarm, tend_to_it);
    ReclaimCoordinator::Means means{.clock = clock.now,
                                    .excess = [of = pressure] { return of->excess(); },
                                    .look_soon =
                                        [weak = std::weak_ptr{tending}] {
                                            if (const auto errand = weak.lock()) errand->soon();
                                        },
                                    .rest = reclaim_rest,
                                    .timeout = options.reclaim_timeout};
    reclaims = std::make_shared<ReclaimCoordinator>(process, executor, clock.set_alarm, std::move(means));
    tree->stalls = stalls;
    tree->reclaims = reclaims;
    tree->tending = tending;
    tree->limit_changed = [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->on_limit_changed();
    };
    keep_polling();
}

void Allocation::Shared::end() noexcept {
    stalls->end();
    reclaims->end();
    fall->end();
    poll->end();
}

void Allocation::Shared::on_allocated(const MemoryAccount& account, Bytes bytes) noexcept {
    if (filter->passes_allocations())
        filter->on_memory_allocated({process.name(), account.name(), bytes, used_for_events(), process.limit()});
    judge_pressure();
}

void Allocation::Shared::on_released(const MemoryAccount& account, Bytes bytes) noexcept {
    if (filter->passes_allocations())
        filter->on_memory_released({process.name(), account.name(), bytes, used_for_events()});
    judge_pressure();
}

void Allocation::Shared::on_refused(const MemoryAccount& account, Bytes bytes, const Error& error) noexcept {
    filter->on_memory_refused({process.name(), account.name(), bytes, error});
    judge_pressure();
}

void Allocation::Shared::on_limit_changed() noexcept {
    follow_limit([this](auto limit) {
        state.set_limit(share_of(limit, state_share));
        traffic.set_limit(share_of(limit, traffic_share));
        for (const auto& [role, share] : {std::pair{AccountRole::state_of_query, state_share},
                                          std::pair{AccountRole::traffic_of_query, traffic_share}})
            process.for_each(role, [&](const MemoryAccount& part) { set_share(part, limit, share); });
    });
    pressure->on_limit_changed();
    tending->soon();
}

void Allocation::Shared::see_to(const PressureWatch::Todo& todo) noexcept {
    if (todo.tell_listeners || todo.judge_again || (todo.judge_at && !fall->is_set()) ||
        (todo.reclaim && reclaims->is_of_use(coarse_now())))
        tending->soon();
}

// What is not to be done inside of somebody's call. Runs on the manager's executor, perhaps on several threads.
void Allocation::Shared::tend() noexcept {
    const auto todo = pressure->judge(now());
    pressure->tell_listeners();
    reclaims->look();
    if (todo.judge_again) tending->soon();
    if (todo.judge_at) fall->set(*todo.judge_at);
    keep_polling();
}

// Where there is no memory for the alarm it is set with what is tended to next.
void Allocation::Shared::keep_polling() noexcept {
    if (poll_interval) poll->set(saturating_add(now(), *poll_interval));
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
    if (before == account) return transferred; // nothing has changed
    shared_->on_released(before, bytes());
    shared_->on_allocated(account_, bytes());
    return transferred;
}

Result<void> Allocation::merge(Allocation&& other) {
    if (other.bytes() == 0) return {};
    if (shared_ != other.shared_ || account_ != other.account_)
        return Error{make_error_code(boost::system::errc::invalid_argument),
                     "allocation '" + std::string{name()} + "': bytes of '" + std::string{other.name()} +
                         "' cannot be merged into it: try_transfer moves them to its account"};
    reservation_.merge(std::move(other.reservation_));
    return {};
}

void Allocation::shrink(Bytes fewer) noexcept {
    fewer = std::min(fewer, bytes());
    if (fewer == 0) return;
    reservation_.shrink(fewer);
    shared_->on_released(account_, fewer);
}

ManagedMemory::ManagedMemory(const asio::any_io_executor& executor, const StreamingConfig& config,
                             const ResourceManagerOptions& options, detail::ManagerClock clock) {
    check(config, options);
    shared_ = std::make_shared<Allocation::Shared>(executor, config, options, clock);
    shared_->begin(executor, options, clock);
}

ManagedMemory::~ManagedMemory() {
    shared_->end();
}

Result<Allocation> ManagedMemory::allocate_memory(std::string_view name, Bytes bytes) {
    const auto& account = shared_->named(name);
    return allocated(shared_, account, bytes, account.try_reserve(bytes));
}

Result<Allocation> ManagedMemory::allocated(const Kept& kept, const MemoryAccount& account, Bytes bytes,
                                            Result<MemoryReservation> reserved) {
    if (!reserved) {
        const auto error = reserved.error();
        if (error != Errc::cancelled) kept->on_refused(account, bytes, error); // who left was refused nothing
        return error;
    }
    Allocation allocation{kept, account, std::move(*reserved)};
    kept->on_allocated(account, bytes);
    return allocation;
}

std::optional<Error> ManagedMemory::illegal(const QueryLimits& limits) {
    constexpr auto most = unlimited_units / mebibyte;
    if (!limits.max_memory_mb || (*limits.max_memory_mb != 0 && *limits.max_memory_mb <= most)) return std::nullopt;
    return Error{make_error_code(boost::system::errc::invalid_argument),
                 "query '" + std::string{limits.name} + "': max_memory_mb = " + std::to_string(*limits.max_memory_mb) +
                     ": must be 1 to " + std::to_string(most)};
}

Result<QueryScope> ManagedMemory::open_query(const QueryLimits& limits) {
    if (auto error = illegal(limits)) return *error;
    const auto query = place_for(limits.name);
    return admitted(shared_, query, limits.max_memory_mb, query.try_reserve(1));
}

MemoryAccount ManagedMemory::place_for(std::string_view query) const {
    return queries().child(std::string{query});
}

Result<QueryScope> ManagedMemory::admitted(const Kept& kept, const MemoryAccount& query,
                                           std::optional<std::uint64_t> max_memory_mb,
                                           Result<MemoryReservation> place) {
    std::string name{query.name()};
    if (!place) {
        const auto error = place.error();
        if (error != Errc::admission_refused) return error;
        return error.with_detail("max_concurrent_queries: " + std::string{error.detail()});
    }
    std::optional<Bytes> limit;
    if (max_memory_mb) limit = *max_memory_mb * mebibyte;
    const auto memory = kept->process.child(name, limit, AccountRole::query);
    const auto state = memory.child("state", std::nullopt, AccountRole::state_of_query);
    const auto traffic = memory.child("traffic", std::nullopt, AccountRole::traffic_of_query);
    kept->follow_limit([&](auto all) {
        Allocation::Shared::set_share(state, all, kept->state_share);
        Allocation::Shared::set_share(traffic, all, kept->traffic_share);
    });
    return QueryScope{{.memory = memory,
                       .state = state,
                       .traffic = traffic,
                       .window_records = kept->all_window_records.child(name, kept->window_records_of_query),
                       .groups = kept->all_groups.child(name, kept->groups_of_query),
                       .place = query},
                      std::move(*place)};
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
const MemoryAccount& ManagedMemory::window_records() const noexcept {
    return shared_->window_records;
}
const MemoryAccount& ManagedMemory::groups() const noexcept {
    return shared_->groups;
}
const MemoryAccount& ManagedMemory::disk() const noexcept {
    return shared_->disk;
}
const MemoryAccount& ManagedMemory::connections() const noexcept {
    return shared_->connections;
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
    const auto sight = shared_->pressure->judge_anew();
    shared_->see_to(sight.todo);
    const auto& process = shared_->process;
    MemoryStats stats;
    stats.used_bytes = sight.used;
    stats.peak_bytes = process.peak();
    stats.limit_bytes = process.limit();
    stats.available_bytes = stats.limit_bytes ? *stats.limit_bytes - std::min(*stats.limit_bytes, stats.used_bytes)
                                              : sight.system.available();
    stats.resident_bytes = sight.system.process_resident;
    stats.unaccounted_bytes = stats.resident_bytes - std::min(stats.resident_bytes, stats.used_bytes);
    stats.used_mb = stats.used_bytes / mebibyte;
    stats.available_mb = stats.available_bytes / mebibyte;
    stats.pressure_percentage = sight.percentage;
    stats.pressure = pressure();
    stats.stalls = shared_->stalls->stalls();

    const auto add = [&stats](std::string name, const MemoryAccount& account) {
        stats.names.push_back({std::move(name), account.used(), account.peak(), account.refusals()});
    };
    shared_->names.for_each([&add](const auto& account) { add(std::string{account.name()}, account); });
    process.for_each(AccountRole::query,
                     [&add](const auto& query) { add("query/" + std::string{query.name()}, query); });
    std::ranges::sort(stats.names, {}, &NamedMemoryStats::name);
    return stats;
}

PressureLevel ManagedMemory::pressure() const noexcept {
    return shared_->pressure->level();
}

Registration ManagedMemory::add_reclaimer(asio::any_io_executor executor, MemoryAccount account,
                                          std::shared_ptr<Reclaimer> reclaimer) {
    return Registration{shared_->reclaims->add(std::move(executor), std::move(account), std::move(reclaimer))};
}

ReclaimStats ManagedMemory::get_reclaim_stats() const {
    return shared_->reclaims->stats();
}

Registration ManagedMemory::add_pressure_listener(asio::any_io_executor executor,
                                                  std::function<void(PressureLevel)> listener) {
    return Registration{shared_->pressure->add_listener(std::move(executor), std::move(listener))};
}

const std::shared_ptr<Observer>& ManagedMemory::observer() const noexcept {
    return shared_->observer;
}

} // namespace velostream
