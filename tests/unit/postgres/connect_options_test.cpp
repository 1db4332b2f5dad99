// SPDX-License-Identifier: Apache-2.0
#include "postgres/connect_options.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>

#include "velostream/postgres/connections.hpp"

namespace velostream::postgres {
namespace {

using namespace std::chrono_literals;

ConnectionConfig config_of(std::string dsn) {
    ConnectionConfig config;
    config.dsn = std::move(dsn);
    return config;
}

std::string all_problems(const ConnectionConfig& config) {
    std::string text;
    for (const auto& problem : validate(config)) text += problem.message() + '\n';
    return text;
}

TEST(ConnectionConfig, TheDefaultIsUsable) {
    EXPECT_EQ(all_problems({}), "");
}

TEST(ConnectionConfig, EveryProblemIsListedWithoutSecrets) {
    auto config = config_of("host=a,b,c port=1,2 service=shop");
    config.options = {{"nonsense", "1"}, {"password", "hush"}};
    config.statement_cache_size = 100'001;
    const auto problems = all_problems(config);
    for (const auto* part : {"options.nonsense", "service", "port = 1,2", "statement_cache_size = 100001"})
        EXPECT_NE(problems.find(part), std::string::npos) << part << " in " << problems;
    EXPECT_EQ(problems.find("hush"), std::string::npos) << problems;
    EXPECT_THROW(Connections{config}, std::invalid_argument);
}

TEST(ConnectionConfig, WhatIsWrongWithAStringIsSaidWithoutQuotingIt) {
    for (const auto* dsn : {"password = hush more", "postgresql://me:hush@[::1/db", "user='me password=hush"}) {
        const auto problems = all_problems(config_of(dsn));
        EXPECT_NE(problems.find("must be a connection string of libpq"), std::string::npos) << problems;
        EXPECT_EQ(problems.find("hush"), std::string::npos) << problems;
        EXPECT_EQ(problems.find("more"), std::string::npos) << problems;
    }
}

TEST(ConnectionConfig, AMaskedOneShowsAllButPasswords) {
    auto config = config_of("postgresql://me:hush@db/shop?sslmode=require");
    config.options = {{"sslpassword", "quiet"}, {"host", "other"}};
    EXPECT_EQ(masked(config), "dbname=shop host=other password=*** sslmode=require sslpassword=*** user=me");
    EXPECT_EQ(masked(config_of("postgresql://me:hush@[::1/db")), "");
}

TEST(ConnectOptions, HostsAddressesAndPortsGoTogether) {
    const ConnectOptions options{config_of("host=a,b,/tmp hostaddr=1.1.1.1,,  port=1,2,3")};
    ASSERT_EQ(options.hosts.size(), 3u);
    EXPECT_EQ(options.hosts[0].address, "1.1.1.1");
    EXPECT_FALSE(options.hosts[0].is_socket());
    EXPECT_EQ(options.hosts[1].name, "b");
    EXPECT_EQ(options.hosts[1].port, "2");
    EXPECT_FALSE(options.hosts[1].is_socket());
    EXPECT_TRUE(options.hosts[2].is_socket());
    EXPECT_FALSE(options.options.contains("host"));
}

TEST(ConnectOptions, OnePortIsForAllHosts) {
    const ConnectOptions options{config_of("postgresql://a,b/db?port=7")};
    ASSERT_EQ(options.hosts.size(), 2u);
    EXPECT_EQ(options.hosts[0].port, "7");
    EXPECT_EQ(options.hosts[1].port, "7");
}

TEST(ConnectOptions, WithoutAHostItIsLibpqsOwnSocketOrTheEnvironments) {
    ::unsetenv("PGHOST");
    EXPECT_TRUE(ConnectOptions{ConnectionConfig{}}.hosts.front().is_socket());
    ::setenv("PGHOST", "db.example", 1);
    EXPECT_EQ(ConnectOptions{ConnectionConfig{}}.hosts.front().name, "db.example");
    EXPECT_EQ(ConnectOptions{config_of("host=mine")}.hosts.front().name, "mine");
    ::unsetenv("PGHOST");
}

TEST(ConnectOptions, ADeadPeerIsNoticedUnlessTheStringSaysOtherwise) {
    const auto by_default = ConnectOptions{ConnectionConfig{}}.options;
    EXPECT_EQ(by_default.at("keepalives_idle"), "30");
    EXPECT_EQ(by_default.at("tcp_user_timeout"), "30000");
    EXPECT_EQ(by_default.at("client_encoding"), "UTF8");
    EXPECT_EQ(by_default.at("gssencmode"), "disable");
    EXPECT_EQ(by_default.at("fallback_application_name"), "velostream");
    const auto given = ConnectOptions{config_of("keepalives_idle=5 tcp_user_timeout=1 client_encoding=LATIN1")}.options;
    EXPECT_EQ(given.at("keepalives_idle"), "5");
    EXPECT_EQ(given.at("tcp_user_timeout"), "1");
    EXPECT_EQ(given.at("client_encoding"), "LATIN1");
}

TEST(ConnectOptions, AConnectTimeoutIsForEachAddress) {
    EXPECT_EQ(ConnectOptions{config_of("connect_timeout=3")}.connect_timeout, 3s);
    EXPECT_EQ(ConnectOptions{config_of("connect_timeout=0")}.connect_timeout, std::nullopt);
    EXPECT_EQ(ConnectOptions{ConnectionConfig{}}.connect_timeout, std::nullopt);
}

} // namespace
} // namespace velostream::postgres
