// SPDX-License-Identifier: Apache-2.0
#include "lookup/segments.hpp"

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include "holding.hpp"
#include "lookup/outage.hpp"
#include "lookup/segment_table.hpp"
#include "settings.hpp"
#include "velostream/bulkhead.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/connection_pool.hpp"
#include "velostream/pipeline.hpp"
#include "velostream/postgres/connections.hpp"
#include "velostream/retry_executor.hpp"
#include "velostream/sqlite/connections.hpp"
#include "velostream/testing/chaos_fault.hpp"
#include "velostream/timeout.hpp"

#ifndef ORDERS_DEFAULT_SEGMENTS
#error "ORDERS_DEFAULT_SEGMENTS names the segments that come with the project"
#endif

namespace orders {

using namespace std::chrono_literals;
using velostream::CallContext;
using velostream::Error;
using velostream::Result;
namespace postgres = velostream::postgres;
namespace sqlite = velostream::sqlite;

namespace {

constexpr auto time_for_a_try = 1s;
constexpr auto patience_with_the_table = 10s;
constexpr auto patience_with_the_end = 2s;

constexpr auto find_table_sql(std::type_identity<sqlite::Connections>) {
    return "SELECT 1 FROM sqlite_master WHERE name = 'customer_segments'";
}
constexpr auto find_table_sql(std::type_identity<postgres::Connections>) {
    return "SELECT 1 WHERE to_regclass('customer_segments') IS NOT NULL";
}

template <class Database>
class DatabaseSegments final : public Segments {
  public:
    DatabaseSegments(const asio::any_io_executor& executor, const Options& options, Database database)
        : breaker_("customer-segments", lookup_breaker_config(), events_),
          retry_({.backoff_strategy = velostream::ExponentialBackoff{.initial_delay = 10ms}}, events_),
          // A connection that is given back always finds somebody who needs one.
          room_({.max_concurrent = 2 * lookup_connections(options),
                 .max_waiting = std::numeric_limits<std::size_t>::max()}),
          injected_({.injection_rate = options.db_fail_rate, .seed = options.seed},
                    Error{boost::system::errc::make_error_code(boost::system::errc::resource_unavailable_try_again),
                          "the database was busy (--db-fail-rate)"}),
          pool_(executor,
                {.max_size = lookup_connections(options), .min_idle = lookup_connections(options), .max_waiters = 0},
                {std::move(database), outage_}, {.name = "customer segments"}) {
        figures_.database = options.lookup->database();
    }

    asio::awaitable<Result<void>> prepare() override {
        const CallContext call{pool_time() + patience_with_the_table};
        auto lending = pool_.get_connection(call.deadline());
        auto lease = co_await std::move(lending);
        if (!lease) co_return lease.error();
        auto& connection = **lease;

        auto finding = connection.query(call, find_table_sql(std::type_identity<Database>{}));
        const auto found = co_await std::move(finding);
        if (!found) co_return found.error();
        if (!found->empty()) co_return Result<void>{};
        auto filling = fill_table_sql(ORDERS_DEFAULT_SEGMENTS);
        if (!filling) co_return filling.error();
        // Where this returns early, the pool rolls back.
        for (std::string sql :
             {std::string{"BEGIN"}, std::string{create_table_sql}, std::move(*filling), std::string{"COMMIT"}}) {
            auto executing = connection.execute(call, std::move(sql));
            const auto executed = co_await std::move(executing);
            if (!executed) co_return executed.error();
        }
        co_return Result<void>{};
    }

    asio::awaitable<Result<std::optional<std::string>>> segment_of(std::string_view customer) override {
        auto look_up = velostream::idempotent([this, customer](CallContext& call) { return ask(call, customer); });
        for (;;) {
            auto looking = guarded_.execute(look_up);
            auto segment = co_await std::move(looking);
            if (segment) {
                ++(*segment ? figures_.found : figures_.unknown);
                co_return segment;
            }
            // A question that may have been answered can be asked again.
            if (!segment.error().passes_with_repetition()) co_return segment.error();
            auto waiting = until_worth_a_try(breaker_);
            co_await std::move(waiting);
        }
    }

    void begin_outage() override { outage_.begin(); }
    void end_outage() override { outage_.end(); }

    asio::awaitable<void> close() override {
        auto closing = pool_.close(patience_with_the_end);
        static_cast<void>(co_await std::move(closing)); // what has not said goodbye by then ends with the program
    }

    const LookupFigures& figures() override {
        const auto stats = pool_.get_stats();
        figures_.connections = stats.total;
        figures_.connections_opened = stats.created;
        figures_.failed_connects = stats.connect_failures;
        figures_.guard.breaker = breaker_.state();
        return figures_;
    }

  private:
    using Pool = velostream::ConnectionPool<PerishableConnections<Database>>;

    asio::awaitable<Result<std::optional<std::string>>> ask(CallContext& call, std::string_view customer) {
        auto lending = pool_.get_connection(call.deadline());
        auto lease = co_await std::move(lending);
        if (!lease) co_return lease.error();
        auto asking = (*lease)->query(call, look_up_sql, customer);
        const auto rows = co_await std::move(asking);
        if (!rows) co_return rows.error();
        if (rows->empty()) co_return std::nullopt;
        auto segment = (*rows)[0].template get<std::string>("segment");
        if (!segment) co_return segment.error();
        co_return std::move(*segment);
    }
    velostream::TimePoint pool_time() const { return breaker_.time().now(); }

    LookupFigures figures_;
    DatabaseOutage outage_;
    std::shared_ptr<GuardEvents> events_ = std::make_shared<GuardEvents>(figures_.guard);
    velostream::CircuitBreaker<> breaker_;
    velostream::RetryExecutor<> retry_;
    velostream::Bulkhead<> room_; // so that what a try waits for is the database, and not others
    velostream::Timeout<> each_{time_for_a_try};
    velostream::testing::ChaosFault injected_;
    velostream::Pipeline<velostream::RetryExecutor<>, velostream::Bulkhead<>, velostream::CircuitBreaker<>,
                         velostream::Timeout<>, velostream::testing::ChaosFault>
        guarded_{retry_, room_, breaker_, each_, injected_};
    Pool pool_;
};

} // namespace

std::unique_ptr<Segments> make_segments(const asio::any_io_executor& executor, const Options& options) {
    if (const auto& dsn = options.lookup->postgres)
        return std::make_unique<DatabaseSegments<postgres::Connections>>(
            executor, options, postgres::Connections{postgres::ConnectionConfig{.dsn = *dsn}});
    return std::make_unique<DatabaseSegments<sqlite::Connections>>(executor, options,
                                                                   sqlite::Connections{sqlite::ConnectionConfig{}});
}

} // namespace orders
