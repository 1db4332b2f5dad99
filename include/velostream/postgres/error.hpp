// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/system/error_code.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace velostream::postgres {

namespace detail {

constexpr int no_sql_state = -1;

constexpr int sql_state_digit(char letter) noexcept {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'A' && letter <= 'Z') return letter - 'A' + 10;
    return no_sql_state;
}

// Five digits to the base of 36; `no_sql_state` for anything else.
constexpr int sql_state_value(std::string_view text) noexcept {
    if (text.size() != 5) return no_sql_state;
    int value = 0;
    for (const char letter : text) {
        if (sql_state_digit(letter) < 0) return no_sql_state;
        value = value * 36 + sql_state_digit(letter);
    }
    return value;
}

} // namespace detail

/// Codes of the server, its SQLSTATEs, that programs ask for by name. Any other one may occur too: compare it with
/// `*sql_state("22P02")`.
enum class SqlState : int {
    not_null_violation = detail::sql_state_value("23502"),
    foreign_key_violation = detail::sql_state_value("23503"),
    unique_violation = detail::sql_state_value("23505"),
    check_violation = detail::sql_state_value("23514"),
    exclusion_violation = detail::sql_state_value("23P01"),
    read_only_sql_transaction = detail::sql_state_value("25006"),
    in_failed_sql_transaction = detail::sql_state_value("25P02"),
    invalid_sql_statement_name = detail::sql_state_value("26000"),
    invalid_password = detail::sql_state_value("28P01"),
    invalid_catalog_name = detail::sql_state_value("3D000"),
    serialization_failure = detail::sql_state_value("40001"),
    deadlock_detected = detail::sql_state_value("40P01"),
    insufficient_privilege = detail::sql_state_value("42501"),
    syntax_error = detail::sql_state_value("42601"),
    undefined_table = detail::sql_state_value("42P01"),
    too_many_connections = detail::sql_state_value("53300"),
    lock_not_available = detail::sql_state_value("55P03"),
    query_canceled = detail::sql_state_value("57014"),
    admin_shutdown = detail::sql_state_value("57P01"),
    crash_shutdown = detail::sql_state_value("57P02"),
    cannot_connect_now = detail::sql_state_value("57P03"),
};

/// The code of five digits and capital letters; nothing if `text` is none.
constexpr std::optional<SqlState> sql_state(std::string_view text) noexcept {
    const int value = detail::sql_state_value(text);
    return value < 0 ? std::nullopt : std::optional{static_cast<SqlState>(value)};
}

/// Its five characters.
std::string to_string(SqlState state);

/// The category of these codes. Each code answers an `ErrorType` (docs/guide/postgres.md has the table), and by that
/// also `Error::passes_with_time()` and `Error::blames_record()`:
///
/// * what another try of the same transaction cures is `service_unavailable`, which is tried again by default:
///   serialization failures, deadlocks, locks that were not available, a server that is being shut down or started, a
///   standby that was asked to write;
/// * what the values of a record can cause is `bad_request`, and blames the record: data exceptions, violated
///   constraints, limits;
/// * what somebody has to mend in the program or the database, whatever the record, is `fatal`;
/// * a code that the standard leaves to applications (a class that begins with 5 to 9 or I to Z and is not the
///   server's own) is `unknown`, as an exception of the user's own type is.
const boost::system::error_category& sql_state_category() noexcept;

inline boost::system::error_code make_error_code(SqlState state) noexcept {
    return {static_cast<int>(state), sql_state_category()};
}

/// What this side of the connection reports.
enum class PostgresErrc : int {
    server_unreachable = 1, ///< name not found, refused, reset, or no TLS session: network
    connection_lost,        ///< the connection is gone, and nothing of the request has happened: network
    outcome_unknown,        ///< it went while the request was under way, which may have happened or not
    authentication_failed,  ///< no password for a server that wants one, or a certificate that cannot be verified
    session_in_use,         ///< two coroutines use one connection at the same time: fatal
    pipeline_aborted,       ///< an earlier statement of the pipeline failed, so this one was not run: cancelled
    statement_outdated,     ///< a prepared statement that a change in the database made useless: service_unavailable
    not_supported,          ///< `COPY`: fatal
    invalid_parameter,      ///< a text that holds a NUL: bad_request
    no_such_column,         ///< of a result: fatal
    null_value,             ///< where a value was asked for: bad_request
    wrong_type,             ///< a column of another type than was asked for: fatal
    out_of_range,           ///< a value that the type asked for cannot hold: bad_request
};

/// The category of these codes; each answers its `ErrorType`.
const boost::system::error_category& postgres_category() noexcept;

inline boost::system::error_code make_error_code(PostgresErrc code) noexcept {
    return {static_cast<int>(code), postgres_category()};
}

} // namespace velostream::postgres

template <>
struct boost::system::is_error_code_enum<velostream::postgres::SqlState> : std::true_type {};
template <>
struct boost::system::is_error_code_enum<velostream::postgres::PostgresErrc> : std::true_type {};
