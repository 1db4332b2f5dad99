// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/error.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

#include "velostream/base/error.hpp"

namespace velostream::sqlite {
namespace {

Error error_of(int code) {
    return make_error_code(static_cast<SqliteErrc>(code));
}

TEST(SqliteError, HasATypeForEveryCode) {
    struct Case {
        int code;
        ErrorType type;
    };
    const Case cases[]{
        {SQLITE_ERROR, ErrorType::bad_request},
        {SQLITE_INTERNAL, ErrorType::fatal},
        {SQLITE_PERM, ErrorType::authorization},
        {SQLITE_ABORT, ErrorType::service_unavailable},
        {SQLITE_ABORT_ROLLBACK, ErrorType::service_unavailable},
        {SQLITE_BUSY, ErrorType::service_unavailable},
        {SQLITE_BUSY_SNAPSHOT, ErrorType::service_unavailable},
        {SQLITE_BUSY_RECOVERY, ErrorType::service_unavailable},
        {SQLITE_BUSY_TIMEOUT, ErrorType::service_unavailable},
        {SQLITE_LOCKED, ErrorType::service_unavailable},
        {SQLITE_LOCKED_SHAREDCACHE, ErrorType::service_unavailable},
        {SQLITE_NOMEM, ErrorType::resource_exhausted},
        {SQLITE_READONLY, ErrorType::authorization},
        {SQLITE_READONLY_DBMOVED, ErrorType::fatal},
        {SQLITE_READONLY_RECOVERY, ErrorType::service_unavailable},
        {SQLITE_READONLY_CANTLOCK, ErrorType::service_unavailable},
        {SQLITE_READONLY_ROLLBACK, ErrorType::service_unavailable},
        {SQLITE_READONLY_CANTINIT, ErrorType::service_unavailable},
        {SQLITE_READONLY_DIRECTORY, ErrorType::authorization},
        {SQLITE_INTERRUPT, ErrorType::cancelled},
        {SQLITE_IOERR, ErrorType::service_unavailable},
        {SQLITE_IOERR_READ, ErrorType::service_unavailable},
        {SQLITE_IOERR_WRITE, ErrorType::service_unavailable},
        {SQLITE_IOERR_FSYNC, ErrorType::outcome_unknown},
        {SQLITE_IOERR_DIR_FSYNC, ErrorType::outcome_unknown},
        {SQLITE_IOERR_NOMEM, ErrorType::resource_exhausted},
        {SQLITE_IOERR_ACCESS, ErrorType::authorization},
        {SQLITE_IOERR_AUTH, ErrorType::authorization},
        {SQLITE_IOERR_DATA, ErrorType::fatal},
        {SQLITE_IOERR_CORRUPTFS, ErrorType::fatal},
        {SQLITE_CORRUPT, ErrorType::fatal},
        {SQLITE_CORRUPT_INDEX, ErrorType::fatal},
        {SQLITE_NOTFOUND, ErrorType::fatal},
        {SQLITE_FULL, ErrorType::resource_exhausted},
        {SQLITE_CANTOPEN, ErrorType::service_unavailable},
        {SQLITE_CANTOPEN_ISDIR, ErrorType::fatal},
        {SQLITE_CANTOPEN_FULLPATH, ErrorType::fatal},
        {SQLITE_CANTOPEN_SYMLINK, ErrorType::fatal},
        {SQLITE_PROTOCOL, ErrorType::service_unavailable},
        {SQLITE_SCHEMA, ErrorType::service_unavailable},
        {SQLITE_TOOBIG, ErrorType::bad_request},
        {SQLITE_CONSTRAINT, ErrorType::bad_request},
        {SQLITE_CONSTRAINT_UNIQUE, ErrorType::bad_request},
        {SQLITE_CONSTRAINT_TRIGGER, ErrorType::bad_request},
        {SQLITE_MISMATCH, ErrorType::bad_request},
        {SQLITE_MISUSE, ErrorType::fatal},
        {SQLITE_NOLFS, ErrorType::resource_exhausted},
        {SQLITE_AUTH, ErrorType::authorization},
        {SQLITE_FORMAT, ErrorType::fatal},
        {SQLITE_RANGE, ErrorType::bad_request},
        {SQLITE_NOTADB, ErrorType::fatal},
        {SQLITE_NOTICE, ErrorType::unknown},
        {SQLITE_WARNING, ErrorType::unknown},
        {SQLITE_ERROR_SNAPSHOT, ErrorType::service_unavailable},
        {SQLITE_ERROR_RETRY, ErrorType::service_unavailable},
        {99, ErrorType::service_unavailable},
        {SQLITE_CONSTRAINT | (200 << 8), ErrorType::bad_request},
    };
    for (const auto& [code, type] : cases) EXPECT_EQ(error_of(code).type(), type) << code;
}

TEST(SqliteError, OfThisLibraryHasATypeAndAText) {
    struct Case {
        SqliteErrc code;
        ErrorType type;
        const char* text;
    };
    const Case cases[]{
        {SqliteErrc::outcome_unknown, ErrorType::outcome_unknown, "outcome unknown"},
        {SqliteErrc::invalid_statement, ErrorType::fatal, "invalid statement"},
        {SqliteErrc::connection_closed, ErrorType::cancelled, "connection closed"},
        {SqliteErrc::settings_changed, ErrorType::fatal, "settings of the connection were changed"},
        {SqliteErrc::no_such_column, ErrorType::fatal, "no such column"},
        {SqliteErrc::null_value, ErrorType::bad_request, "value is null"},
        {SqliteErrc::wrong_type, ErrorType::bad_request, "wrong type"},
        {SqliteErrc::out_of_range, ErrorType::bad_request, "out of range"},
    };
    for (const auto& [code, type, text] : cases) {
        EXPECT_EQ(Error{code}.type(), type) << text;
        EXPECT_EQ(make_error_code(code).message(), text);
    }
}

TEST(SqliteError, NamesAreThoseOfSqlite) {
    const std::pair<SqliteErrc, int> cases[]{
        {SqliteErrc::error, SQLITE_ERROR},
        {SqliteErrc::busy, SQLITE_BUSY},
        {SqliteErrc::busy_snapshot, SQLITE_BUSY_SNAPSHOT},
        {SqliteErrc::locked, SQLITE_LOCKED},
        {SqliteErrc::read_only, SQLITE_READONLY},
        {SqliteErrc::read_only_moved, SQLITE_READONLY_DBMOVED},
        {SqliteErrc::interrupted, SQLITE_INTERRUPT},
        {SqliteErrc::io_error, SQLITE_IOERR},
        {SqliteErrc::corrupt, SQLITE_CORRUPT},
        {SqliteErrc::full, SQLITE_FULL},
        {SqliteErrc::cannot_open, SQLITE_CANTOPEN},
        {SqliteErrc::too_big, SQLITE_TOOBIG},
        {SqliteErrc::mismatch, SQLITE_MISMATCH},
        {SqliteErrc::not_a_database, SQLITE_NOTADB},
        {SqliteErrc::constraint_check, SQLITE_CONSTRAINT_CHECK},
        {SqliteErrc::constraint_foreign_key, SQLITE_CONSTRAINT_FOREIGNKEY},
        {SqliteErrc::constraint_not_null, SQLITE_CONSTRAINT_NOTNULL},
        {SqliteErrc::constraint_primary_key, SQLITE_CONSTRAINT_PRIMARYKEY},
        {SqliteErrc::constraint_unique, SQLITE_CONSTRAINT_UNIQUE},
    };
    for (const auto& [name, code] : cases) EXPECT_EQ(static_cast<int>(name), code);
    EXPECT_EQ(error_of(SQLITE_BUSY).message(), "database is locked");
}

TEST(SqliteError, WhatPassesWithTimeBlamesNoRecord) {
    for (const int code : {SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT, SQLITE_LOCKED, SQLITE_IOERR_READ, SQLITE_FULL}) {
        EXPECT_TRUE(error_of(code).passes_with_time()) << code;
        EXPECT_FALSE(error_of(code).blames_record()) << code;
    }
    for (const int code : {SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_READONLY, SQLITE_IOERR_FSYNC}) {
        EXPECT_FALSE(error_of(code).passes_with_time()) << code;
        EXPECT_FALSE(error_of(code).blames_record()) << code;
    }
}

} // namespace
} // namespace velostream::sqlite
