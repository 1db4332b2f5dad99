// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "velostream/config/validate.hpp"

namespace velostream::postgres {

/// Connection parameters of libpq by keyword, such as `sslmode`.
using Options = std::map<std::string, std::string>;

/// When a connection that goes back to a pool is made as it was when it was new: settings, cursors, temporary tables,
/// notifications, advisory locks. An open transaction is rolled back in any case, and prepared statements of the cache
/// stay.
enum class SessionReset : std::uint8_t {
    /// If a statement other than `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `MERGE` or one about transactions was run.
    /// What a `SELECT` leaves behind, by functions such as `set_config` or `pg_advisory_lock`, is not noticed.
    when_touched,
    always, ///< one round trip more for each borrower
    never,
};

/// Where the server is, who we are, and what a connection keeps.
struct ConnectionConfig {
    /// A connection string of libpq: `host=db user=orders dbname=shop` or `postgresql://orders@db/shop`. What it does
    /// not say comes from libpq's environment variables (`PGHOST`, `PGPASSWORD`, …) and the password file. A `service`
    /// is only heard of through `PGSERVICE`.
    ///
    /// Of several hosts the first that answers and is as `target_session_attrs` says is taken. Each address has
    /// `connect_timeout` where that is given, else its share of the time that is left until the deadline. A host that
    /// refuses who we are ends the search.
    ///
    /// Set unless it says otherwise: `keepalives_idle=30`, `keepalives_interval=10`, `keepalives_count=3` and
    /// `tcp_user_timeout=30000`, so that a connection whose other end has vanished is noticed within half a minute or
    /// so; `client_encoding=UTF8`; `gssencmode=disable`, since Kerberos may block; `application_name=velostream`.
    std::string dsn = {};

    /// Overrule what is in `dsn`. Each must be a parameter of libpq.
    Options options = {};

    /// Statements that a connection keeps prepared; of more the one that was not used for longest is given up. Legal:
    /// 0 to 100 000. Default 256. 0 prepares none: for a proxy that gives each transaction another session.
    std::size_t statement_cache_size = 256;

    /// Default: `when_touched`.
    SessionReset session_reset = SessionReset::when_touched;
};

/// All problems of a config, as for the other configs; a secret is never quoted.
std::vector<ConfigProblem> validate(const ConnectionConfig& config);

/// True for parameters whose value must not be seen: passwords.
bool is_secret(std::string_view option) noexcept;

/// What `dsn` and `options` say, as `keyword=value keyword=value`, with `***` for what must not be seen. For logs and
/// messages. Of a `dsn` that cannot be read nothing is shown.
std::string masked(const ConnectionConfig& config);

} // namespace velostream::postgres
