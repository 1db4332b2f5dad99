// SPDX-License-Identifier: Apache-2.0
#include "postgres/server_error.hpp"

#include <gtest/gtest.h>

#include "velostream/postgres/error.hpp"

namespace velostream::postgres {
namespace {

Error error_of(std::string words, bool was_in_tls = false, bool lacks_password = false) {
    return connect_error(std::move(words), "hush", was_in_tls, lacks_password);
}

TEST(ConnectError, AServersCodeIsFoundInVerboseWordsOfAnyLanguage) {
    const auto error = error_of(
        "connection to server at \"::1\", port 1 failed: FATAL:  28P01: password "
        "authentication failed for user \"me\"\nLOCATION:  auth_failed, auth.c:334\n");
    EXPECT_EQ(error, SqlState::invalid_password);
    EXPECT_EQ(error.detail(),
              "connection to server at \"::1\", port 1 failed: FATAL:  password authentication failed "
              "for user \"me\"");
    EXPECT_EQ(error_of("Verbindung: FATAL:  53300: zu viele Verbindungen\nORT:  x, y.c:1\n"),
              SqlState::too_many_connections);
}

TEST(ConnectError, OfTwoTriesTheLastCounts) {
    const auto error = error_of(
        "failed: FATAL:  28000: no encryption\nLOCATION:  a, b.c:1\nfailed: FATAL:  3D000: no "
        "such database\nLOCATION:  c, d.c:2\n");
    EXPECT_EQ(error, SqlState::invalid_catalog_name);
    EXPECT_EQ(error.detail(), "failed: FATAL:  no encryption failed: FATAL:  no such database");
}

TEST(ConnectError, WithoutACodeTheServerIsUnreachableOrWeAreNotAccepted) {
    EXPECT_EQ(error_of("connection refused\n\tIs the server running?\n"), PostgresErrc::server_unreachable);
    EXPECT_EQ(error_of("connection refused\n\tIs the server running?\n").detail(),
              "connection refused Is the server running?");
    EXPECT_EQ(error_of("fe_sendauth: no password supplied", false, true), PostgresErrc::authentication_failed);
    EXPECT_EQ(error_of("SSL error: certificate verify failed", true), PostgresErrc::authentication_failed);
    EXPECT_EQ(error_of("SSL error: unexpected eof", true), PostgresErrc::server_unreachable);
    EXPECT_EQ(error_of("something: 12345: else"), PostgresErrc::server_unreachable) << "one space only";
}

TEST(ConnectError, ThePasswordIsNeverShown) {
    EXPECT_EQ(error_of("hush! invalid: hushhush").detail(), "***! invalid: ******");
    EXPECT_EQ(connect_error("words", "", false, false).detail(), "words");
}

} // namespace
} // namespace velostream::postgres
