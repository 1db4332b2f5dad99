// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libpq-fe.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <string>

#include "support/suite.hpp"

namespace velostream::bench {

/// A PostgreSQL server that cmake/test_database.sh has started.
struct Database {
    std::string socket_dsn;
    std::string tcp_dsn;

    std::string port() const {
        const auto at = tcp_dsn.find("port=") + 5;
        return tcp_dsn.substr(at, tcp_dsn.find(' ', at) - at);
    }
};

/// The one of `suite`, if it answers; else says of `rows` that they are left out.
inline std::optional<Database> database_of(Suite& suite, std::initializer_list<const char*> rows) {
    const auto leave_out = [&](const std::string& reason) {
        for (const auto* row : rows) suite.leave_out(row, reason);
        return std::nullopt;
    };
    if (suite.database().empty()) return leave_out("needs a PostgreSQL server: --database FOLDER");
    Database database;
    const auto folder = std::filesystem::path{suite.database()};
    std::getline(std::ifstream{folder / "socket_dsn"}, database.socket_dsn);
    std::getline(std::ifstream{folder / "tcp_dsn"}, database.tcp_dsn);
    if (database.socket_dsn.empty() || PQping(database.socket_dsn.c_str()) != PQPING_OK)
        return leave_out("no PostgreSQL server answers in " + suite.database());
    return database;
}

} // namespace velostream::bench
