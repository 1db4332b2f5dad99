// SPDX-License-Identifier: Apache-2.0
#include "server_error.hpp"

#include <cstddef>
#include <optional>
#include <utility>

#include "velostream/postgres/error.hpp"

namespace velostream::postgres {

namespace {

std::string_view field(const PGresult* result, int name) noexcept {
    const char* const text = PQresultErrorField(result, name);
    return text ? std::string_view{text} : std::string_view{};
}

std::string one_line(std::string_view words) {
    std::string line;
    for (const char letter : words) {
        const bool is_break = letter == '\n' || letter == '\t';
        if (!is_break)
            line.push_back(letter);
        else if (!line.empty() && line.back() != ' ')
            line.push_back(' ');
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

// `FATAL:  28P01: password …`: libpq writes it so for who asks it to be verbose, in every language. Takes the codes
// out; the last one counts, for libpq may have tried twice, with TLS and without.
std::optional<SqlState> take_states(std::string& words) {
    constexpr std::string_view before = ":  ";
    constexpr std::size_t size = 7; // `28P01: `
    std::optional<SqlState> last;
    for (auto at = words.find(before); at != std::string::npos; at = words.find(before, at + 1)) {
        const auto code = std::string_view{words}.substr(at + before.size(), size);
        const auto state = code.ends_with(": ") ? sql_state(code.substr(0, 5)) : std::nullopt;
        if (!state) continue;
        last = state;
        words.erase(at + before.size(), size);
    }
    return last;
}

void mask(std::string& text, const std::string& secret) {
    if (secret.empty()) return;
    for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3))
        text.replace(at, secret.size(), "***");
}

// They are for the server's developers.
void cut_locations(std::string& words) {
    constexpr std::string_view mark = "LOCATION:  ";
    for (auto at = words.find(mark); at != std::string::npos; at = words.find(mark, at)) {
        const auto end = words.find('\n', at);
        words.erase(at, end == std::string::npos ? end : end - at + 1);
    }
}

} // namespace

Error server_error(const PGresult* result) {
    const auto state = sql_state(field(result, PG_DIAG_SQLSTATE));
    const auto message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    std::string text{field(result, PG_DIAG_SEVERITY)};
    if (!text.empty()) text.append(": ");
    text.append(message.empty() ? one_line(PQresultErrorMessage(result)) : std::string{message});
    if (const auto more = field(result, PG_DIAG_MESSAGE_DETAIL); !more.empty()) text.append("; detail: ").append(more);
    if (const auto hint = field(result, PG_DIAG_MESSAGE_HINT); !hint.empty()) text.append("; hint: ").append(hint);
    return Error{state ? make_error_code(*state) : make_error_code(PostgresErrc::connection_lost), std::move(text)};
}

// The standard has no code for a plan that is too old; the server's function that finds it does not change its name.
bool says_outdated(const PGresult* result) noexcept {
    if (sql_state(field(result, PG_DIAG_SQLSTATE)) == SqlState::invalid_sql_statement_name) return true;
    return field(result, PG_DIAG_SQLSTATE) == "0A000" &&
           field(result, PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery";
}

Error connect_error(PGconn* connection, const std::string& password, bool was_in_tls) {
    return connect_error(PQerrorMessage(connection), password, was_in_tls, PQconnectionNeedsPassword(connection) != 0);
}

Error connect_error(std::string words, const std::string& password, bool was_in_tls, bool lacks_password) {
    cut_locations(words);
    auto code = make_error_code(PostgresErrc::server_unreachable);
    if (const auto state = take_states(words)) {
        code = make_error_code(*state);
    } else if (lacks_password || (was_in_tls && words.find("certificate") != std::string::npos)) {
        code = make_error_code(PostgresErrc::authentication_failed);
    }
    mask(words, password);
    return Error{code, one_line(words)};
}

std::string last_words(const PGconn* connection) {
    return one_line(PQerrorMessage(connection));
}

} // namespace velostream::postgres
