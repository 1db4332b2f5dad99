// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/connections.hpp"

#include <unistd.h>

#include <atomic>
#include <string>
#include <utility>

#include "async/background.hpp"
#include "connection_core.hpp"
#include "velostream/config/validate.hpp"

namespace velostream::sqlite {

namespace {

Work without_result(Result<void> (Handle::*what)()) {
    return [what](Handle& handle) -> Result<QueryResult> {
        if (const auto done = (handle.*what)(); !done) return done.error();
        return QueryResult{};
    };
}

// SQLite shares a database in memory between those who name it alike, and forgets it when nobody does any more.
std::string new_name_in_memory() {
    static std::atomic<unsigned> last{0};
    return "file:/velostream-" + std::to_string(++last) + "?vfs=memdb";
}

} // namespace

struct Connections::Shared {
    explicit Shared(const ConnectionConfig& wanted)
        : config(validated(wanted)),
          file(config.path.empty() ? new_name_in_memory() : config.path),
          keeps_memory(config, file),
          pool(std::make_shared<ThreadPool>(config.threads, config.max_pending_calls)) {
        if (config.path.empty()) static_cast<void>(keeps_memory.open()); // else the first connection finds out
    }

    const ConnectionConfig config;
    const std::string file;
    Handle keeps_memory; // not open where the database is a file
    const std::shared_ptr<ThreadPool> pool;
};

Connections::Connections(const ConnectionConfig& config) {
    begin_background(); // before it is made: see there
    shared_ = std::make_shared<Shared>(config);
}

asio::awaitable<Result<Connection>> Connections::open(CallContext& call) {
    const auto core = std::make_shared<ConnectionCore>(shared_->pool, shared_->config, shared_->file);
    Connection connection{core};
    auto opening = core->call(without_result(&Handle::open), call.deadline());
    const auto opened = co_await std::move(opening);
    if (!opened) co_return opened.error();
    co_return std::move(connection);
}

asio::awaitable<Result<void>> Connections::check(Connection& connection, CallContext& call) {
    auto checking = connection.core_->call(without_result(&Handle::check), call.deadline());
    const auto checked = co_await std::move(checking);
    if (!checked) co_return checked.error();
    co_return Result<void>{};
}

asio::awaitable<Result<void>> Connections::reset(Connection& connection, CallContext& call) {
    const auto core = connection.core_;
    if (!core->is_idle() || core->is_in_transaction()) {
        const auto roll_back = [](Handle& handle) -> Result<QueryResult> {
            if (!handle.is_in_transaction()) return QueryResult{};
            return handle.run(Statement{"ROLLBACK"}, false);
        };
        auto rolling_back = core->call(roll_back, call.deadline());
        const auto rolled_back = co_await std::move(rolling_back);
        if (!rolled_back) co_return rolled_back.error();
    }
    if (core->has_changed_settings()) co_return Error{make_error_code(SqliteErrc::settings_changed)};
    co_return Result<void>{};
}

asio::awaitable<void> Connections::close(Connection& connection, CallContext& call) {
    const auto close = [](Handle& handle) -> Result<QueryResult> {
        handle.close();
        return QueryResult{};
    };
    auto closing = connection.core_->call(close, call.deadline());
    static_cast<void>(co_await std::move(closing));
}

} // namespace velostream::sqlite
