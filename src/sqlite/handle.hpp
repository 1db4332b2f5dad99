// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "statement_cache.hpp"
#include "velostream/base/result.hpp"
#include "velostream/sqlite/connection_config.hpp"
#include "velostream/sqlite/error.hpp"
#include "velostream/sqlite/result.hpp"
#include "velostream/sqlite/statement.hpp"

namespace velostream::sqlite {

/// SQLite's own connection, and everything that it is asked. Its calls block.
///
/// No call waits for another connection's lock: it ends with SqliteErrc::busy, and `waits_for_lock()` says whether the
/// same call may succeed later. A statement that was stopped has done nothing.
///
/// Threads: one at a time, but for those functions that say otherwise.
class Handle {
  public:
    /// `file`: what SQLite is to open, a URI for a database in memory.
    Handle(const ConnectionConfig& config, std::string file);
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { close(); }

    /// Before each of the following.
    void begin() noexcept;

    Result<void> open();
    /// Where `keeps_rows` is false they are dropped.
    Result<QueryResult> run(const Statement& statement, bool keeps_rows = true);
    /// From `from` on, which is the begin of the first statement that has not succeeded afterwards.
    Result<void> run_script(const std::string& sql, std::size_t& from);
    /// Whether the file is still there and can be read.
    Result<void> check();
    void close() noexcept;

    bool waits_for_lock() const noexcept { return waits_for_lock_; }
    bool is_in_transaction() const noexcept { return database_ && sqlite3_get_autocommit(database_) == 0; }
    /// Since `open`: something that outlasts a transaction and is seen on this connection only.
    bool has_changed_settings() const noexcept { return has_changed_settings_; }

    /// Ends what runs, soon, with SqliteErrc::interrupted, unless it succeeds before. Threads: any.
    void interrupt() noexcept;
    /// Since `begin` something was begun that may change the database. Threads: any.
    bool may_have_written() const noexcept { return may_have_written_; }

  private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    };
    using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

    static int note_busy(void* self, int times) noexcept;
    static int repeat_interruption(void* self) noexcept;
    static int note_settings(void* self, int action, const char* name, const char* value, const char*,
                             const char*) noexcept;

    Result<void> set_up();
    Result<void> set_journal_mode();
    Result<void> execute(const char* sql);
    Result<Prepared> prepare(std::string_view sql, unsigned flags, std::size_t& end);
    Result<Prepared> prepare_only(std::string_view sql);
    Result<void> bind(sqlite3_stmt* statement, const Parameters& parameters);
    Result<QueryResult> step(sqlite3_stmt* statement, bool keeps_rows);
    Result<void> append_row(sqlite3_stmt* statement, detail::RowData& rows);
    Error last_error(int code);

    const ConnectionConfig config_;
    const std::string file_;
    std::mutex mutex_;            // guards the pointer against its end, for `interrupt`
    sqlite3* database_ = nullptr; // written under the mutex by the one who reads it without
    StatementCache<Prepared> statements_;
    bool met_busy_ = false;
    bool waits_for_lock_ = false;
    bool is_opening_ = false;
    bool was_in_transaction_ = false;
    bool has_changed_settings_ = false;
    std::atomic<bool> is_interrupted_{false};
    std::atomic<bool> may_have_written_{false};
};

} // namespace velostream::sqlite
