// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/connection.hpp"

#include "connection_core.hpp"

namespace velostream::sqlite {

Connection::~Connection() {
    if (core_) core_->close();
}

Connection& Connection::operator=(Connection&& other) noexcept {
    if (this == &other) return *this;
    if (core_) core_->close();
    core_ = std::move(other.core_);
    return *this;
}

bool Connection::in_transaction() const noexcept {
    return core_ && core_->is_in_transaction();
}

namespace {

// Who calls names his arguments or not: the coroutines hold nothing of his.
asio::awaitable<Result<std::uint64_t>> affected_by(asio::awaitable<Result<QueryResult>> running) {
    const auto done = co_await std::move(running);
    if (!done) co_return done.error();
    co_return done->affected();
}

asio::awaitable<Result<void>> end_of(asio::awaitable<Result<QueryResult>> running) {
    const auto done = co_await std::move(running);
    if (!done) co_return done.error();
    co_return Result<void>{};
}

} // namespace

asio::awaitable<Result<QueryResult>> Connection::query(Statement statement, const CallContext& call) {
    auto work = [wanted = std::move(statement)](Handle& handle) { return handle.run(wanted); };
    return core_->call(std::move(work), call.deadline());
}

asio::awaitable<Result<std::uint64_t>> Connection::execute(Statement statement, const CallContext& call) {
    auto work = [wanted = std::move(statement)](Handle& handle) { return handle.run(wanted, false); };
    return affected_by(core_->call(std::move(work), call.deadline()));
}

asio::awaitable<Result<void>> Connection::execute_script(std::string sql, const CallContext& call) {
    auto work = [text = std::move(sql),
                 from = std::make_shared<std::size_t>(0)](Handle& handle) -> Result<QueryResult> {
        if (const auto done = handle.run_script(text, *from); !done) return done.error();
        return QueryResult{};
    };
    return end_of(core_->call(std::move(work), call.deadline()));
}

} // namespace velostream::sqlite
