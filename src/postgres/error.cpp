// SPDX-License-Identifier: Apache-2.0
#include "velostream/postgres/error.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "velostream/base/error_type.hpp"

namespace velostream::postgres {

namespace {

struct Rule {
    std::string_view prefix; // a whole code, or a class
    ErrorType type;
};

// The first that fits. Of a class the exceptions come before the rule.
constexpr std::array rules{
    // Connections
    Rule{"08007", ErrorType::outcome_unknown}, // the transaction's end
    Rule{"08P01", ErrorType::fatal},           // a message that the protocol does not have
    Rule{"08", ErrorType::network},
    Rule{"28", ErrorType::authentication},
    Rule{"42501", ErrorType::authorization},

    // Passes by itself, or in another transaction
    Rule{"25006", ErrorType::service_unavailable}, // a standby by now
    Rule{"25P03", ErrorType::service_unavailable}, // idle in a transaction for too long
    Rule{"25P04", ErrorType::service_unavailable}, // a transaction that lasted too long
    Rule{"40002", ErrorType::bad_request},         // a constraint
    Rule{"40003", ErrorType::outcome_unknown},     // the statement's end
    Rule{"40", ErrorType::service_unavailable},
    Rule{"55006", ErrorType::service_unavailable}, // in use
    Rule{"55P03", ErrorType::service_unavailable}, // locked
    Rule{"57014", ErrorType::timeout},             // statement_timeout, or somebody else's cancellation
    Rule{"57P04", ErrorType::fatal},               // the database was dropped
    Rule{"57", ErrorType::service_unavailable},
    Rule{"58", ErrorType::service_unavailable}, // around the server: input and output
    Rule{"72", ErrorType::service_unavailable}, // a snapshot that is too old
    Rule{"53", ErrorType::resource_exhausted},

    // The values
    Rule{"20", ErrorType::bad_request}, // a case that nobody thought of
    Rule{"21", ErrorType::bad_request}, // more rows than one
    Rule{"22", ErrorType::bad_request},
    Rule{"23", ErrorType::bad_request},
    Rule{"44", ErrorType::bad_request}, // a view's check
    Rule{"54", ErrorType::bad_request}, // larger than the server bears
    Rule{"P0", ErrorType::bad_request}, // raised by a function or trigger

    // Foreign tables fail with whatever is behind them; configuration files and the server's own faults do not pass.
    Rule{"HV", ErrorType::service_unavailable},
    Rule{"F0", ErrorType::fatal},
    Rule{"XX", ErrorType::fatal},
    Rule{"55", ErrorType::fatal},
};

// Classes that begin with 0 to 4 or A to H are the standard's own.
constexpr bool is_of_the_standard(char first) noexcept {
    return (first >= '0' && first <= '4') || (first >= 'A' && first <= 'H');
}

ErrorType type_of(SqlState state) {
    const auto text = to_string(state);
    const auto* const rule =
        std::ranges::find_if(rules, [&](const Rule& each) { return text.starts_with(each.prefix); });
    if (rule != rules.end()) return rule->type;
    return is_of_the_standard(text.front()) ? ErrorType::fatal : ErrorType::unknown;
}

std::string_view name_of(SqlState state) noexcept {
    switch (state) {
        case SqlState::not_null_violation:
            return "not null violation";
        case SqlState::foreign_key_violation:
            return "foreign key violation";
        case SqlState::unique_violation:
            return "unique violation";
        case SqlState::check_violation:
            return "check violation";
        case SqlState::exclusion_violation:
            return "exclusion violation";
        case SqlState::read_only_sql_transaction:
            return "read-only transaction";
        case SqlState::in_failed_sql_transaction:
            return "in a failed transaction";
        case SqlState::invalid_sql_statement_name:
            return "no such prepared statement";
        case SqlState::invalid_password:
            return "invalid password";
        case SqlState::invalid_catalog_name:
            return "no such database";
        case SqlState::serialization_failure:
            return "serialization failure";
        case SqlState::deadlock_detected:
            return "deadlock detected";
        case SqlState::insufficient_privilege:
            return "insufficient privilege";
        case SqlState::syntax_error:
            return "syntax error";
        case SqlState::undefined_table:
            return "undefined table";
        case SqlState::too_many_connections:
            return "too many connections";
        case SqlState::lock_not_available:
            return "lock not available";
        case SqlState::query_canceled:
            return "query cancelled";
        case SqlState::admin_shutdown:
            return "shut down by an administrator";
        case SqlState::crash_shutdown:
            return "shut down after a crash";
        case SqlState::cannot_connect_now:
            return "cannot connect now";
    }
    return {};
}

class SqlStateCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "velostream.postgres.sql_state"; }
    std::string message(int value) const override {
        const auto state = static_cast<SqlState>(value);
        const auto known = name_of(state);
        auto text = "SQLSTATE " + to_string(state);
        if (!known.empty()) text.append(" (").append(known).append(")");
        return text;
    }
    boost::system::error_condition default_error_condition(int value) const noexcept override {
        return make_error_condition(type_of(static_cast<SqlState>(value)));
    }
};

struct Meaning {
    std::string_view text;
    ErrorType type;
};

Meaning meaning_of(PostgresErrc code) noexcept {
    switch (code) {
        case PostgresErrc::server_unreachable:
            return {"database server unreachable", ErrorType::network};
        case PostgresErrc::connection_lost:
            return {"connection to the database lost", ErrorType::network};
        case PostgresErrc::outcome_unknown:
            return {"outcome of the statement unknown", ErrorType::outcome_unknown};
        case PostgresErrc::authentication_failed:
            return {"authentication failed", ErrorType::authentication};
        case PostgresErrc::session_in_use:
            return {"connection used by two at the same time", ErrorType::fatal};
        case PostgresErrc::pipeline_aborted:
            return {"not run, since an earlier statement of the pipeline failed", ErrorType::cancelled};
        case PostgresErrc::statement_outdated:
            return {"prepared statement outdated", ErrorType::service_unavailable};
        case PostgresErrc::not_supported:
            return {"not supported", ErrorType::fatal};
        case PostgresErrc::invalid_parameter:
            return {"invalid parameter", ErrorType::bad_request};
        case PostgresErrc::no_such_column:
            return {"no such column", ErrorType::fatal};
        case PostgresErrc::null_value:
            return {"null", ErrorType::bad_request};
        case PostgresErrc::wrong_type:
            return {"column of another type", ErrorType::fatal};
        case PostgresErrc::out_of_range:
            return {"value out of range", ErrorType::bad_request};
    }
    return {"unknown code", ErrorType::unknown};
}

class PostgresCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "velostream.postgres"; }
    std::string message(int value) const override {
        return std::string{meaning_of(static_cast<PostgresErrc>(value)).text};
    }
    boost::system::error_condition default_error_condition(int value) const noexcept override {
        return make_error_condition(meaning_of(static_cast<PostgresErrc>(value)).type);
    }
};

} // namespace

std::string to_string(SqlState state) {
    constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::string text(5, '0');
    auto value = static_cast<unsigned>(state);
    for (auto place = text.rbegin(); place != text.rend(); ++place, value /= 36) *place = digits[value % 36];
    return text;
}

const boost::system::error_category& sql_state_category() noexcept {
    static const SqlStateCategory category;
    return category;
}

const boost::system::error_category& postgres_category() noexcept {
    static const PostgresCategory category;
    return category;
}

} // namespace velostream::postgres
