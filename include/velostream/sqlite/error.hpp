// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <type_traits>

namespace velostream::sqlite {

/// Result codes of SQLite that programs ask for by name, extended ones where SQLite has them. Any other may occur too:
/// `make_error_code(static_cast<SqliteErrc>(value))`.
enum class SqliteErrc : int {
    // Of this library
    outcome_unknown = -1,   ///< given up while it was writing: it may have happened or not
    invalid_statement = -2, ///< wrong SQL, a table that is not there, another number of parameters: fatal
    connection_closed = -3, ///< the connection ended, or was closed, before the call was done: cancelled
    settings_changed = -4,  ///< a borrower has left what the connection remembers: fatal for this connection
    no_such_column = -5,    ///< of a result: fatal
    null_value = -6,        ///< where a value was asked for: bad_request
    wrong_type = -7,        ///< a value of another type than was asked for: bad_request
    out_of_range = -8,      ///< a value that the type asked for cannot hold: bad_request

    // Of SQLite
    error = 1, ///< a function that found its arguments wrong, such as text that is no JSON
    busy = 5,  ///< another connection holds the lock that is needed, for longer than `busy_timeout`
    locked = 6,
    read_only = 8,
    interrupted = 9,
    io_error = 10,
    corrupt = 11,
    full = 13, ///< no room on the disk, or `max_page_count` is reached
    cannot_open = 14,
    too_big = 18,
    mismatch = 20, ///< a rowid that is no integer
    not_a_database = 26,

    busy_snapshot = 5 + (2 << 8),   ///< what this transaction has read is no longer the newest: roll back, begin again
    read_only_moved = 8 + (4 << 8), ///< the file was renamed or removed
    constraint_check = 19 + (1 << 8),
    constraint_foreign_key = 19 + (3 << 8),
    constraint_not_null = 19 + (5 << 8),
    constraint_primary_key = 19 + (6 << 8),
    constraint_unique = 19 + (8 << 8),
};

/// The category of these codes. Each code answers an `ErrorType`: `code == ErrorType::service_unavailable`.
///
/// What passes by itself, such as a busy database or an I/O error, is `service_unavailable`, which is retried by
/// default; a full disk is `resource_exhausted`; what the values
/// of a record can cause, such as a violated constraint, is `bad_request` and blames the record. What somebody has to
/// mend in the program or the file, whatever the record, is `fatal`: wrong SQL, a file that is damaged or no database.
/// An extended code that this version does not know is of the type
/// of its primary one, and an unknown primary one is `service_unavailable`.
const boost::system::error_category& sqlite_category() noexcept;

inline boost::system::error_code make_error_code(SqliteErrc code) noexcept {
    return {static_cast<int>(code), sqlite_category()};
}

} // namespace velostream::sqlite

template <>
struct boost::system::is_error_code_enum<velostream::sqlite::SqliteErrc> : std::true_type {};
