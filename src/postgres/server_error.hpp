// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libpq-fe.h>

#include <string>
#include <string_view>

#include "velostream/base/error.hpp"

namespace velostream::postgres {

/// What a result that is an error, or a notice, says: its SQLSTATE as the code, and severity, message, detail and hint
/// as the detail. One that libpq has made itself is `connection_lost`.
Error server_error(const PGresult* result);

/// Whether it says that a prepared statement cannot be used any more: the session has no such statement, or its result
/// has other columns by now.
bool says_outdated(const PGresult* result) noexcept;

/// Why a connection that was asked to be verbose could not be made. `password` is not shown, whatever was said.
Error connect_error(PGconn* connection, const std::string& password, bool was_in_tls);

/// The same from libpq's words. Pure.
Error connect_error(std::string words, const std::string& password, bool was_in_tls, bool lacks_password);

/// libpq's last words about a connection, as one line.
std::string last_words(const PGconn* connection);

} // namespace velostream::postgres
