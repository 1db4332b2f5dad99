// SPDX-License-Identifier: Apache-2.0
#include "velostream/sqlite/connection_config.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "velostream/sqlite/connections.hpp"

namespace velostream::sqlite {
namespace {

using namespace std::string_literals;

TEST(SqliteConnectionConfig, TheDefaultsAreLegal) {
    EXPECT_TRUE(validate(ConnectionConfig{}).empty());
}

TEST(SqliteConnectionConfig, EveryProblemIsNamed) {
    const auto problems = validate(ConnectionConfig{.path = "a\0b"s,
                                                    .busy_timeout = std::chrono::nanoseconds{-1},
                                                    .statement_cache_size = 10'001,
                                                    .threads = 0,
                                                    .max_pending_calls = 0,
                                                    .max_result_bytes = 0});
    std::string fields;
    for (const auto& problem : problems) fields += problem.field + " ";
    EXPECT_EQ(fields, "path busy_timeout statement_cache_size threads max_pending_calls max_result_bytes ");
}

TEST(SqliteConnectionConfig, TheBoundsThemselvesAreLegal) {
    EXPECT_TRUE(validate(ConnectionConfig{.busy_timeout = Duration::zero(),
                                          .statement_cache_size = 0,
                                          .threads = 64,
                                          .max_pending_calls = 1,
                                          .max_result_bytes = 1})
                    .empty());
    EXPECT_TRUE(validate(ConnectionConfig{.statement_cache_size = 10'000, .threads = 1}).empty());
    EXPECT_FALSE(validate(ConnectionConfig{.threads = 65}).empty());
}

TEST(SqliteConnectionConfig, ConnectionsRefuseWhatIsNotLegal) {
    EXPECT_THROW(Connections{ConnectionConfig{.threads = 0}}, std::invalid_argument);
}

} // namespace
} // namespace velostream::sqlite
