// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/deferred.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <new>
#include <string_view>
#include <utility>

#include "either_ready.hpp"
#include "server_error.hpp"
#include "velostream/async/serial_executor.hpp"

namespace velostream::postgres {

namespace {

constexpr int binary = 1;

std::string name_of(StatementCache::Number number) {
    return "velostream_" + std::to_string(number);
}

} // namespace

asio::posix::stream_descriptor watched_socket(const asio::any_io_executor& executor, const PGconn* connection) {
    const int own = ::fcntl(PQsocket(connection), F_DUPFD_CLOEXEC, 0);
    if (own < 0) throw boost::system::system_error{errno, boost::system::system_category(), "fcntl"};
    return {executor, own};
}

Session::Session(LibpqConnection connection, const asio::any_io_executor& executor, std::size_t cache_size)
    : connection_(std::move(connection)), socket_(watched_socket(executor, connection_.get())), cache_(cache_size) {
    PQsetNoticeReceiver(connection_.get(), &on_notice, this);
    if (PQsetnonblocking(connection_.get(), 1) != 0 || PQenterPipelineMode(connection_.get()) != 1)
        throw std::bad_alloc{}; // nothing else can fail of a new connection
}

Session::~Session() {
    finish();
}

void Session::close() noexcept {
    if (!is_in_use_ || !connection_) return finish();
    // What is being waited for may not be taken away: it ends by itself.
    is_to_close_ = true;
    ::shutdown(PQsocket(connection_.get()), SHUT_RDWR);
}

void Session::end_use() noexcept {
    is_in_use_ = false;
    if (is_to_close_) finish();
}

void Session::finish() noexcept {
    socket_.reset(); // its copy of the socket would keep the connection open
    connection_.reset();
    cancel_.reset();
    syncs_owed_ = 0;
}

Error Session::lost() const {
    Error error{PostgresErrc::connection_lost};
    if (last_fatal_) return error.with_inner(*last_fatal_);
    if (!connection_) return error.with_detail("it was closed");
    const auto words = last_words(connection_.get());
    return words.empty() ? error : error.with_detail(words);
}

// ---- an exchange --------------------------------------------------------------------------------------------------

asio::awaitable<Result<Answers>> Session::exchange(OwnFrame, const Batch& batch) {
    if (notices_end()) {
        auto error = lost();
        finish();
        co_return error;
    }
    Reading reading;
    reading.answers.reserve(batch.statements.size());
    for (std::size_t i = 0; i < batch.statements.size(); ++i)
        reading.answers.emplace_back(PostgresErrc::pipeline_aborted);
    bool is_sent = false;
    try {
        is_sent = send(batch);
    } catch (...) { // for want of memory, in the middle of it
        finish();
        throw;
    }
    auto all = read_all(own_frame, &reading);
    const bool is_whole = is_sent && co_await std::move(all);
    if (is_whole) co_return std::move(reading.answers);

    auto cause = lost();
    finish();
    if (reading.needs_copy) co_return Error{make_error_code(PostgresErrc::not_supported), "COPY"};
    // The server has said that it undoes them.
    if (reading.has_failed) co_return std::move(reading.answers);
    co_return Error{PostgresErrc::outcome_unknown}.with_inner(std::move(cause));
}

asio::awaitable<Result<void>> Session::settle(OwnFrame) {
    if (!cancel_) request_cancel();
    // Otherwise the request could come late, and end the next statement.
    auto requested = Aside<void>::answer(own_frame, cancel_);
    co_await std::move(requested);
    auto all = read_all(own_frame, nullptr);
    const bool is_whole = co_await std::move(all);
    if (!is_whole) {
        auto error = lost();
        finish();
        co_return error;
    }
    cancel_.reset();
    is_touched_ = true; // by nobody knows what
    co_return Result<void>{};
}

void Session::request_cancel() {
    if (cancel_ && !cancel_->is_here()) return;
    struct Free {
        void operator()(PGcancel* cancel) const noexcept { PQfreeCancel(cancel); }
    };
    const std::shared_ptr<PGcancel> cancel{PQgetCancel(connection_.get()), Free{}};
    cancel_ = Aside<void>::ask([cancel]() -> Result<void> {
        std::array<char, 256> words{};
        if (PQcancel(cancel.get(), words.data(), static_cast<int>(words.size())) == 1) return {};
        return Error{make_error_code(PostgresErrc::server_unreachable), words.data()};
    });
}

// Before anything is sent: what the server has said meanwhile, such as that it goes.
bool Session::notices_end() {
    if (is_broken() || PQconsumeInput(connection_.get()) == 0) return true;
    while (auto* const notification = PQnotifies(connection_.get())) PQfreemem(notification); // nobody listens here
    return last_fatal_.has_value();
}

// ---- sending ------------------------------------------------------------------------------------------------------

bool Session::send(const Batch& batch) {
    expected_.clear();
    next_ = 0;
    has_answer_ = was_outdated_ = false;
    // In a transaction one that fails would take the transaction with it.
    if (!cache_.given_up().empty() && transaction_status() == PQTRANS_IDLE && !send_given_up()) return false;
    for (std::size_t i = 0; i < batch.statements.size(); ++i)
        if (!send_one(batch, i)) return false;
    return send_sync();
}

bool Session::send_given_up() {
    for (const auto number : cache_.given_up()) {
        const auto sql = "DEALLOCATE " + name_of(number);
        if (PQsendQueryParams(connection_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, binary) != 1)
            return false;
        expected_.push_back({Step::deallocate});
    }
    cache_.clear_given_up();
    return send_sync(); // of their own, so that nothing of theirs touches what follows
}

bool Session::send_one(const Batch& batch, std::size_t index) {
    const auto& statement = batch.statements[index];
    auto* const to = connection_.get();
    const auto count = static_cast<int>(statement.parameters().size());
    fill_arrays(statement.parameters());
    if (!batch.are_users || cache_.is_off()) {
        expected_.push_back({Step::run, index});
        return PQsendQueryParams(to, statement.sql().c_str(), count, nullptr, values_.data(), lengths_.data(),
                                 formats_.data(), binary) == 1;
    }
    auto number = cache_.find(statement.sql());
    const bool is_new = !number;
    if (is_new) number = cache_.add(statement.sql());
    const auto name = name_of(*number);
    if (is_new) {
        expected_.push_back({Step::prepare, index, *number});
        if (PQsendPrepare(to, name.c_str(), statement.sql().c_str(), 0, nullptr) != 1) return false;
    }
    expected_.push_back({Step::run, index, *number});
    return PQsendQueryPrepared(to, name.c_str(), count, values_.data(), lengths_.data(), formats_.data(), binary) == 1;
}

bool Session::send_sync() {
    expected_.push_back({Step::sync});
    ++syncs_owed_;
    return PQpipelineSync(connection_.get()) == 1;
}

void Session::fill_arrays(const Parameters& parameters) {
    values_.clear();
    lengths_.clear();
    formats_.clear();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const auto sent = parameters[i];
        values_.push_back(sent.bytes);
        lengths_.push_back(static_cast<int>(sent.size));
        formats_.push_back(sent.is_binary ? 1 : 0);
    }
}

// ---- reading ------------------------------------------------------------------------------------------------------

// False if the connection is lost, or of no use any more. Reads and writes as the socket allows: a server that cannot
// get rid of its answers reads no further.
asio::awaitable<bool> Session::read_all(OwnFrame, Reading* reading) {
    for (;;) {
        const int unsent = PQflush(connection_.get());
        if (unsent < 0 || !take_all(reading)) co_return false;
        if (syncs_owed_ == 0) co_return true;
        if (unsent == 0) {
            auto readable = socket_->async_wait(asio::posix::descriptor_base::wait_read, asio::deferred);
            co_await std::move(readable);
        } else {
            auto ready = async_wait_either(*socket_, asio::deferred);
            co_await std::move(ready);
        }
        const bool is_there = PQconsumeInput(connection_.get()) == 1;
        if (!is_there) { // it may have said why before it went
            take_all(reading);
            co_return syncs_owed_ == 0;
        }
    }
}

// What has come so far.
bool Session::take_all(Reading* reading) {
    while (syncs_owed_ > 0 && PQisBusy(connection_.get()) == 0) {
        auto* const result = PQgetResult(connection_.get());
        if (result)
            take(result, reading);
        else if (std::exchange(has_answer_, false))
            ++next_;
        else if (is_broken())
            return false;
        if (reading && reading->needs_copy) return false;
    }
    return true;
}

void Session::take(PGresult* raw, Reading* reading) {
    QueryResult result{raw}; // owns it
    const auto status = PQresultStatus(raw);
    if (next_ >= expected_.size()) return;
    const auto& to = expected_[next_];
    if (status == PGRES_PIPELINE_SYNC) {
        --syncs_owed_;
        ++next_;
        return;
    }
    if (to.step == Step::sync) { // the end of the transaction has failed, and with it all that is in it
        if (reading && PQresultErrorField(raw, PG_DIAG_SQLSTATE)) {
            reading->has_failed = true;
            for (auto& answer : reading->answers) answer = server_error(raw);
        }
        return;
    }
    has_answer_ = true;
    take_answer(to, std::move(result), status, raw, reading);
}

void Session::take_answer(const Expected& to, QueryResult result, ExecStatusType status, const PGresult* raw,
                          Reading* reading) {
    const bool succeeded = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
    if (to.step == Step::deallocate) return; // what is not there needs not go
    if (!succeeded && to.step == Step::prepare) cache_.forget(to.prepared, false);
    if (to.step == Step::run && status == PGRES_FATAL_ERROR && to.prepared != 0 && says_outdated(raw))
        take_outdated(to, raw);
    if (succeeded && to.step == Step::run) notice_touch(raw);
    if (!reading) return;

    auto& answer = reading->answers[to.statement];
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        reading->needs_copy = true;
    } else if (succeeded) {
        if (to.step == Step::run) answer = std::move(result);
    } else if (PQresultErrorField(raw, PG_DIAG_SQLSTATE)) { // else the connection has gone, or it was not run
        reading->has_failed = true;
        answer = server_error(raw);
    }
}

void Session::take_outdated(const Expected& to, const PGresult* raw) {
    was_outdated_ = to.statement == 0;
    const std::string_view state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
    if (sql_state(state) == SqlState::invalid_sql_statement_name)
        cache_.clear(); // somebody has thrown away all, as a rule
    else
        cache_.forget(to.prepared, true);
}

void Session::notice_touch(const PGresult* result) noexcept {
    constexpr std::array<std::string_view, 13> harmless{"SELECT", "INSERT",  "UPDATE",   "DELETE", "MERGE",
                                                        "FETCH",  "BEGIN",   "START",    "COMMIT", "ROLLBACK",
                                                        "",       "RELEASE", "SAVEPOINT"};
    const std::string_view tag = PQcmdStatus(const_cast<PGresult*>(result)); // it changes nothing
    if (std::ranges::find(harmless, tag.substr(0, tag.find(' '))) == harmless.end()) is_touched_ = true;
    if (tag == "DISCARD ALL" || tag == "DEALLOCATE ALL") cache_.clear();
}

void Session::on_notice(void* session, const PGresult* notice) {
    const char* const severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const std::string_view word = severity ? severity : "";
    auto error = server_error(notice);
    // In a hurry the server only warns before it goes.
    const bool is_last = error == SqlState::admin_shutdown || error == SqlState::crash_shutdown;
    if (is_last || word == "FATAL" || word == "PANIC") static_cast<Session*>(session)->last_fatal_ = std::move(error);
}

} // namespace velostream::postgres
