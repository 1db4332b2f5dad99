// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libpq-fe.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aside.hpp"
#include "statement_cache.hpp"
#include "velostream/async/frame_memory.hpp"
#include "velostream/base/result.hpp"
#include "velostream/postgres/result.hpp"
#include "velostream/postgres/statement.hpp"

namespace velostream::postgres {

struct Finish {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using LibpqConnection = std::unique_ptr<PGconn, Finish>;

/// Asio's own descriptor of libpq's socket: libpq closes its one when it likes, and the number may be somebody else's
/// at once. Throws `boost::system::system_error` if the process has no descriptor left.
asio::posix::stream_descriptor watched_socket(const asio::any_io_executor& executor, const PGconn* connection);

/// Statements that are sent together and answered together.
struct Batch {
    std::vector<Statement> statements;
    /// Prepared by the cache, and noticed where they touch the session.
    bool are_users = true;
};
using Answers = std::vector<Result<QueryResult>>;

/// One connection: sends a batch and reads its answers, never blocking.
///
/// libpq is in its pipeline mode all the time. Every batch ends with a Sync, which the server answers whatever became
/// of the statements before it: a session that is owed no Sync is clean. One that is owed any was interrupted, and
/// `settle` makes it clean again.
///
/// Threads: one at a time. A coroutine of it runs on a serial executor.
class Session : public std::enable_shared_from_this<Session> {
  public:
    /// Takes over a connection that is made.
    Session(LibpqConnection connection, const asio::any_io_executor& executor, std::size_t cache_size);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    /// Sends a batch to a clean session, and reads the answer to each statement.
    ///
    /// Errors:       connection_lost: nothing has happened. outcome_unknown: it may have. not_supported.
    /// Cancellation: all kinds; throws `operation_aborted`, and the session is interrupted.
    asio::awaitable<Result<Answers>> exchange(OwnFrame, const Batch& batch);

    /// Waits until the server has ended what was interrupted.
    ///
    /// Errors:       connection_lost.
    /// Cancellation: all kinds; throws `operation_aborted`. May be called again.
    asio::awaitable<Result<void>> settle(OwnFrame);

    /// Asks the server to end what is interrupted, unless an earlier request is still on its way. Does not wait.
    void request_cancel();

    bool is_interrupted() const noexcept { return syncs_owed_ > 0; }
    bool is_broken() const noexcept { return !connection_ || PQstatus(connection_.get()) != CONNECTION_OK; }
    /// Why it is, if somebody has said so.
    Error lost() const;
    /// Closes it, at once; under a call that is under way, which finds it lost then.
    void close() noexcept;

    PGTransactionStatusType transaction_status() const noexcept { return PQtransactionStatus(connection_.get()); }
    const PGconn* connection() const noexcept { return connection_.get(); }
    const StatementCache& statements() const noexcept { return cache_; }

    /// Whether the last batch failed at its first statement, because that was prepared too long ago.
    bool was_outdated() const noexcept { return was_outdated_; }
    /// Whether a statement may have left more than rows and transactions.
    bool is_touched() const noexcept { return is_touched_; }
    void reset_touched() noexcept { is_touched_ = false; }

    /// Whether a call is under way.
    bool is_in_use() const noexcept { return is_in_use_; }
    void begin_use() noexcept { is_in_use_ = true; }
    void end_use() noexcept;

  private:
    enum class Step : std::uint8_t { deallocate, prepare, run, sync };
    // What an answer is expected to.
    struct Expected {
        Step step;
        std::size_t statement = 0;           // of the batch
        StatementCache::Number prepared = 0; // 0: not by the cache
    };
    // Of an exchange; a session that settles has none.
    struct Reading {
        Answers answers;
        bool has_failed = false; // a statement, so the server undoes the batch
        bool needs_copy = false;
    };

    void finish() noexcept;
    bool notices_end();
    bool send(const Batch& batch);
    bool send_given_up();
    bool send_one(const Batch& batch, std::size_t index);
    bool send_sync();
    void fill_arrays(const Parameters& parameters);

    asio::awaitable<bool> read_all(OwnFrame, Reading* reading);
    bool take_all(Reading* reading);
    void take(PGresult* result, Reading* reading);
    void take_answer(const Expected& to, QueryResult result, ExecStatusType status, const PGresult* raw,
                     Reading* reading);
    void take_outdated(const Expected& to, const PGresult* raw);
    void notice_touch(const PGresult* result) noexcept;
    static void on_notice(void* session, const PGresult* notice);

    LibpqConnection connection_;
    std::optional<asio::posix::stream_descriptor> socket_;
    StatementCache cache_;
    std::vector<Expected> expected_;
    std::size_t next_ = 0; // of `expected_`
    std::size_t syncs_owed_ = 0;
    std::shared_ptr<Aside<void>> cancel_; // since it was interrupted
    std::optional<Error> last_fatal_;     // that the server has said before it went
    bool has_answer_ = false;             // to `expected_[next_]`
    bool was_outdated_ = false;
    bool is_touched_ = false;
    bool is_in_use_ = false;
    bool is_to_close_ = false; // at the end of the call that is under way
    // For libpq, kept for their memory.
    std::vector<const char*> values_;
    std::vector<int> lengths_;
    std::vector<int> formats_;
};

} // namespace velostream::postgres
