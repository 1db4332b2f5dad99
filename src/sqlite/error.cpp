// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/error.hpp"

#include <sqlite3.h>

#include <string>

#include "velostream/base/error_type.hpp"

namespace velostream::sqlite {

namespace {

constexpr int primary_of(int code) noexcept {
    return code & 0xff;
}

ErrorType type_of_primary(int code) noexcept {
    switch (code) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
        case SQLITE_ABORT: // the transaction was rolled back beneath the statement
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN: // a folder that is not there yet, too many open files
        case SQLITE_PROTOCOL: // others took the lock again and again
        case SQLITE_SCHEMA:   // others changed it again and again
            return ErrorType::service_unavailable;

        case SQLITE_FULL:
        case SQLITE_NOMEM:
        case SQLITE_NOLFS:
            return ErrorType::resource_exhausted;

        case SQLITE_INTERRUPT:
            return ErrorType::cancelled;

        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_AUTH:
            return ErrorType::authorization;

        case SQLITE_ERROR:
        case SQLITE_TOOBIG:
        case SQLITE_CONSTRAINT:
        case SQLITE_MISMATCH:
        case SQLITE_RANGE:
            return ErrorType::bad_request;

        case SQLITE_INTERNAL:
        case SQLITE_CORRUPT:
        case SQLITE_NOTFOUND:
        case SQLITE_MISUSE:
        case SQLITE_FORMAT:
        case SQLITE_NOTADB:
            return ErrorType::fatal;

        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
        case SQLITE_NOTICE:
        case SQLITE_WARNING:
            return ErrorType::unknown;

        default:
            return ErrorType::service_unavailable;
    }
}

ErrorType type_of(int code) noexcept {
    switch (static_cast<SqliteErrc>(code)) {
        case SqliteErrc::outcome_unknown:
            return ErrorType::outcome_unknown;
        case SqliteErrc::invalid_statement:
        case SqliteErrc::settings_changed:
        case SqliteErrc::no_such_column:
            return ErrorType::fatal;
        case SqliteErrc::connection_closed:
            return ErrorType::cancelled;
        case SqliteErrc::null_value:
        case SqliteErrc::wrong_type:
        case SqliteErrc::out_of_range:
            return ErrorType::bad_request;
        default:
            break;
    }
    switch (code) {
        case SQLITE_IOERR_FSYNC: // what was written may be on the disk, and be found there
        case SQLITE_IOERR_DIR_FSYNC:
            return ErrorType::outcome_unknown;

        case SQLITE_IOERR_NOMEM:
            return ErrorType::resource_exhausted;

        case SQLITE_IOERR_ACCESS:
        case SQLITE_IOERR_AUTH:
            return ErrorType::authorization;

        case SQLITE_IOERR_DATA: // a checksum is wrong
        case SQLITE_IOERR_CORRUPTFS:
        case SQLITE_CANTOPEN_ISDIR:
        case SQLITE_CANTOPEN_FULLPATH:
        case SQLITE_CANTOPEN_SYMLINK:
        case SQLITE_READONLY_DBMOVED:
            return ErrorType::fatal;

        case SQLITE_READONLY_RECOVERY: // until one who may write has been there
        case SQLITE_READONLY_CANTLOCK:
        case SQLITE_READONLY_ROLLBACK:
        case SQLITE_READONLY_CANTINIT:
            return ErrorType::service_unavailable;

        case SQLITE_ERROR_SNAPSHOT:
        case SQLITE_ERROR_RETRY:
            return ErrorType::service_unavailable;

        default:
            return type_of_primary(primary_of(code));
    }
}

const char* text_of(int code) noexcept {
    switch (static_cast<SqliteErrc>(code)) {
        case SqliteErrc::outcome_unknown:
            return "outcome unknown";
        case SqliteErrc::invalid_statement:
            return "invalid statement";
        case SqliteErrc::connection_closed:
            return "connection closed";
        case SqliteErrc::settings_changed:
            return "settings of the connection were changed";
        case SqliteErrc::no_such_column:
            return "no such column";
        case SqliteErrc::null_value:
            return "value is null";
        case SqliteErrc::wrong_type:
            return "wrong type";
        case SqliteErrc::out_of_range:
            return "out of range";
        default:
            return sqlite3_errstr(code);
    }
}

class SqliteCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "sqlite"; }
    std::string message(int value) const override { return text_of(value); }
    boost::system::error_condition default_error_condition(int value) const noexcept override {
        const auto type = type_of(value);
        if (type == ErrorType::unknown) return {value, *this};
        return make_error_condition(type);
    }
};

} // namespace

const boost::system::error_category& sqlite_category() noexcept {
    static const SqliteCategory category;
    return category;
}

} // namespace velostream::sqlite
