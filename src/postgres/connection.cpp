// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/connection.hpp"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "bounded.hpp"
#include "connect.hpp"
#include "session.hpp"
#include "velostream/async/serial_executor.hpp"

namespace velostream::postgres {

namespace {

constexpr Duration longest_settling = std::chrono::seconds{10};
constexpr std::size_t most_parameters = 65'535;

class Use {
  public:
    explicit Use(Session& session) noexcept : session_(session) { session_.begin_use(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() { session_.end_use(); }

  private:
    Session& session_;
};

std::optional<Error> problem_of(const Batch& batch) {
    for (const auto& statement : batch.statements) {
        const auto& parameters = statement.parameters();
        const auto invalid = parameters.invalid();
        if (invalid)
            return Error{make_error_code(PostgresErrc::invalid_parameter),
                         "$" + std::to_string(*invalid + 1) + " has a NUL in it, or more than 1 GiB"};
        if (parameters.size() > most_parameters)
            return Error{make_error_code(PostgresErrc::invalid_parameter), "more than 65535 parameters"};
    }
    return std::nullopt;
}

// A request that reaches the server before it has read the statement is lost, so it is made again and again.
asio::awaitable<Result<void>> settle(OwnFrame, Session& session, TimePoint deadline) {
    const auto limit = SteadyTime{}.now() + longest_settling;
    auto operation = [&session] { return session.settle(own_frame); };
    for (Duration patience = std::chrono::milliseconds{50};; patience *= 2) {
        const auto until = SteadyTime{}.now() + patience;
        auto settling = bounded<void>(own_frame, std::min({deadline, limit, until}), operation);
        auto settled = co_await std::move(settling);
        if (settled || settled.error() != Errc::deadline_exceeded || deadline <= until) co_return std::move(settled);
        if (limit <= until) break;
        session.request_cancel();
    }
    session.close();
    co_return Error{make_error_code(PostgresErrc::connection_lost), "the server did not end an interrupted statement"};
}

// Everything that is asked of a session goes through here.
asio::awaitable<Result<Answers>> run(OwnFrame, std::shared_ptr<Session> session, Batch batch, TimePoint deadline) {
    if (auto problem = problem_of(batch)) co_return std::move(*problem);
    if (!session) co_return Error{PostgresErrc::connection_lost};
    if (session->is_in_use()) co_return Error{PostgresErrc::session_in_use};
    const Use use{*session};
    if (session->is_broken()) co_return session->lost();
    if (deadline != TimePoint::max() && SteadyTime{}.now() >= deadline) co_return Error{Errc::deadline_exceeded};
    if (session->is_interrupted()) {
        auto settling = settle(own_frame, *session, deadline);
        const auto settled = co_await std::move(settling);
        if (!settled) co_return settled.error();
    }

    const bool was_idle = session->transaction_status() == PQTRANS_IDLE;
    for (bool may_repeat = was_idle;; may_repeat = false) {
        auto operation = [&] { return session->exchange(own_frame, batch); };
        auto exchanging = bounded<Answers>(own_frame, deadline, operation);
        auto answers = co_await std::move(exchanging);
        if (!answers) {
            if (!session->is_interrupted()) co_return std::move(answers);
            session->request_cancel();
            co_return answers.error().with_inner(Error{PostgresErrc::outcome_unknown});
        }
        if (!session->was_outdated()) co_return std::move(answers);
        if (may_repeat) continue; // nothing of the batch has happened
        answers->front() = Error{PostgresErrc::statement_outdated}.with_inner(answers->front().error());
        co_return std::move(answers);
    }
}

asio::awaitable<Result<QueryResult>> run_one(OwnFrame, std::shared_ptr<Session> session, Statement statement,
                                             TimePoint deadline) {
    Batch batch;
    batch.statements.push_back(std::move(statement));
    auto running = run(own_frame, std::move(session), std::move(batch), deadline);
    auto answers = co_await std::move(running);
    if (!answers) co_return answers.error();
    co_return std::move(answers->front());
}

asio::awaitable<Result<std::uint64_t>> run_and_count(OwnFrame, std::shared_ptr<Session> session, Statement statement,
                                                     TimePoint deadline) {
    auto running = run_one(own_frame, std::move(session), std::move(statement), deadline);
    const auto result = co_await std::move(running);
    if (!result) co_return result.error();
    co_return result->affected();
}

asio::awaitable<Result<PipelineResults>> run_all(OwnFrame, std::shared_ptr<Session> session,
                                                 std::vector<Statement> statements, TimePoint deadline) {
    Batch batch;
    batch.statements = std::move(statements);
    auto running = run(own_frame, std::move(session), std::move(batch), deadline);
    co_return co_await std::move(running);
}

// Runs statements that are ours, of which each must succeed.
asio::awaitable<Result<void>> run_own(OwnFrame, std::shared_ptr<Session> session, std::vector<Statement> statements,
                                      TimePoint deadline) {
    Batch batch;
    batch.statements = std::move(statements);
    batch.are_users = false;
    auto running = run(own_frame, std::move(session), std::move(batch), deadline);
    const auto answers = co_await std::move(running);
    if (!answers) co_return answers.error();
    for (const auto& answer : *answers)
        if (!answer && answer.error() != PostgresErrc::pipeline_aborted) co_return answer.error();
    co_return Result<void>{};
}

// What `DISCARD ALL` does, but for what is prepared and planned.
void add_discards(std::vector<Statement>& to) {
    for (const auto* sql : {"CLOSE ALL", "SET SESSION AUTHORIZATION DEFAULT", "RESET ALL", "UNLISTEN *",
                            "SELECT pg_advisory_unlock_all()", "DISCARD TEMP", "DISCARD SEQUENCES"})
        to.emplace_back(sql);
}

asio::awaitable<Result<void>> run_reset(OwnFrame, std::shared_ptr<Session> session, SessionReset when,
                                        TimePoint deadline) {
    if (session && session->is_interrupted()) {
        auto settling = run_own(own_frame, session, {}, deadline);
        auto settled = co_await std::move(settling);
        if (!settled) co_return std::move(settled);
    }
    if (!session || session->is_broken()) co_return Error{PostgresErrc::connection_lost};
    std::vector<Statement> statements;
    if (session->transaction_status() != PQTRANS_IDLE) statements.emplace_back("ROLLBACK");
    if (when == SessionReset::always || (when == SessionReset::when_touched && session->is_touched()))
        add_discards(statements);
    if (statements.empty()) co_return Result<void>{};
    auto resetting = run_own(own_frame, session, std::move(statements), deadline);
    auto done = co_await std::move(resetting);
    if (done) session->reset_touched();
    co_return std::move(done);
}

} // namespace

Connection::Connection(std::shared_ptr<Session> session, SessionReset reset) noexcept
    : session_(std::move(session)), reset_(reset) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

asio::awaitable<Result<Connection>> Connection::open(ConnectionConfig config, const CallContext& call) {
    return open(std::make_shared<const ConnectOptions>(config), config.statement_cache_size, config.session_reset,
                call.deadline());
}

asio::awaitable<Result<Connection>> Connection::open(std::shared_ptr<const ConnectOptions> options,
                                                     std::size_t cache_size, SessionReset reset, TimePoint deadline) {
    const auto executor = below_strands(co_await asio::this_coro::executor);
    auto connecting = connect(own_frame, std::move(options), deadline, executor);
    auto connected = co_await std::move(connecting);
    if (!connected) co_return connected.error();
    co_return Connection{std::make_shared<Session>(std::move(*connected), executor, cache_size), reset};
}

asio::awaitable<Result<QueryResult>> Connection::query(Statement statement, const CallContext& call) {
    return run_one(own_frame, session_, std::move(statement), call.deadline());
}

asio::awaitable<Result<std::uint64_t>> Connection::execute(Statement statement, const CallContext& call) {
    return run_and_count(own_frame, session_, std::move(statement), call.deadline());
}

asio::awaitable<Result<PipelineResults>> Connection::pipeline(std::vector<Statement> statements,
                                                              const CallContext& call) {
    return run_all(own_frame, session_, std::move(statements), call.deadline());
}

asio::awaitable<Result<void>> Connection::check(const CallContext& call) {
    return run_own(own_frame, session_, {}, call.deadline());
}

asio::awaitable<Result<void>> Connection::reset(const CallContext& call) {
    return run_reset(own_frame, session_, reset_, call.deadline());
}

void Connection::close() noexcept {
    if (session_) session_->close();
}

bool Connection::is_broken() const noexcept {
    return !session_ || session_->is_broken();
}

TransactionStatus Connection::transaction_status() const noexcept {
    if (!session_ || session_->is_interrupted()) return TransactionStatus::unknown;
    switch (session_->transaction_status()) {
        case PQTRANS_IDLE:
            return TransactionStatus::idle;
        case PQTRANS_INTRANS:
            return TransactionStatus::open;
        case PQTRANS_INERROR:
            return TransactionStatus::failed;
        default:
            return TransactionStatus::unknown;
    }
}

std::string Connection::server_parameter(const std::string& name) const {
    const char* const value = session_ ? PQparameterStatus(session_->connection(), name.c_str()) : nullptr;
    return value ? value : "";
}

int Connection::server_process() const noexcept {
    return session_ ? PQbackendPID(session_->connection()) : 0;
}

std::size_t Connection::prepared_statements() const noexcept {
    return session_ ? session_->statements().size() : 0;
}

} // namespace velostream::postgres
