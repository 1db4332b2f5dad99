// SPDX-License-Identifier: Apache-2.0
// Connecting to a real server: who is let in, over what, and what is said to who is not.
#include <boost/asio/ip/tcp.hpp>

#include "database_test.hpp"

namespace velostream::postgres {
namespace {

class ConnectTest : public DatabaseTest {
  protected:
    ConnectionConfig tcp(Options options = {}) const {
        ConnectionConfig config;
        config.dsn = server.tcp_dsn();
        config.options = std::move(options);
        return config;
    }
    static asio::awaitable<Error> refused(ConnectionConfig config, CallContext call = {}) {
        auto opening = Connection::open(std::move(config), call);
        const auto opened = co_await std::move(opening);
        EXPECT_FALSE(opened);
        co_return opened.error();
    }
    /// A port on which nobody listens, as long as this lives.
    class ClosedPort {
      public:
        explicit ClosedPort(asio::io_context& io) : socket_(io, asio::ip::tcp::endpoint{asio::ip::tcp::v4(), 0}) {}
        std::string number() const { return std::to_string(socket_.local_endpoint().port()); }

      private:
        asio::ip::tcp::socket socket_;
    };
    /// A port that takes connections and never says anything.
    class SilentPort {
      public:
        explicit SilentPort(asio::io_context& io) : acceptor_(io, {asio::ip::address_v4::loopback(), 0}) {}
        std::string number() const { return std::to_string(acceptor_.local_endpoint().port()); }

      private:
        asio::ip::tcp::acceptor acceptor_;
    };
};

TEST_F(ConnectTest, ByTheSocketAndByTcpWithAPassword) {
    run([this]() -> asio::awaitable<void> {
        auto local = co_await connected();
        auto far = co_await connected(tcp());
        EXPECT_EQ(co_await value_of<int>(local, "select 1"), 1);
        EXPECT_EQ(co_await value_of<int>(far, "select 1"), 1);
    });
}

TEST_F(ConnectTest, WithTlsThatVerifiesTheServer) {
    run([this]() -> asio::awaitable<void> {
        const auto with_tls = tcp({{"sslmode", "verify-full"}, {"sslrootcert", server.certificate()}});
        auto connection = co_await connected(with_tls);
        const auto* sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        EXPECT_TRUE(co_await value_of<bool>(connection, sql));
        const std::string large(3'000'000, 'x');
        EXPECT_EQ(co_await value_of<std::string>(connection, "select $1::text", large), large);

        const auto without_tls = tcp({{"sslmode", "disable"}});
        auto in_the_clear = co_await connected(without_tls);
        EXPECT_FALSE(co_await value_of<bool>(in_the_clear, sql));
    });
}

TEST_F(ConnectTest, ACertificateThatCannotBeVerifiedIsAMatterOfAuthentication) {
    run([this]() -> asio::awaitable<void> {
        const auto with_no_root = tcp({{"sslmode", "verify-full"}, {"sslrootcert", "/etc/hostname"}});
        const auto unknown = co_await refused(with_no_root);
        EXPECT_EQ(unknown.type(), ErrorType::authentication) << unknown;
        auto by_address = tcp({{"sslmode", "verify-full"}, {"sslrootcert", server.certificate()}});
        by_address.options.insert({{"host", "elsewhere.example"}, {"hostaddr", "127.0.0.1"}});
        const auto other_name = co_await refused(by_address);
        EXPECT_EQ(other_name.type(), ErrorType::authentication) << other_name;
    });
}

TEST_F(ConnectTest, AWrongPasswordIsToldWithItsStateAndNeverShown) {
    run([this]() -> asio::awaitable<void> {
        for (const auto* mode : {"disable", "require"}) {
            const auto config = tcp({{"password", "not-the-secret"}, {"sslmode", mode}});
            const auto error = co_await refused(config);
            EXPECT_EQ(error, SqlState::invalid_password) << error;
            EXPECT_EQ(error.type(), ErrorType::authentication);
            EXPECT_EQ(error.message().find("not-the-secret"), std::string::npos) << error;
            EXPECT_NE(error.message().find("velostream"), std::string::npos) << "who: " << error;
        }
        auto without = tcp();
        without.dsn = "host=127.0.0.1 user=velostream dbname=postgres passfile=/nowhere port=" + server.port();
        EXPECT_EQ(co_await refused(without), PostgresErrc::authentication_failed);
    });
}

TEST_F(ConnectTest, ADatabaseThatIsNotThereIsFatal) {
    run([this]() -> asio::awaitable<void> {
        const auto config = tcp({{"dbname", "nobody_has_it"}});
        const auto error = co_await refused(config);
        EXPECT_EQ(error, SqlState::invalid_catalog_name);
        EXPECT_EQ(error.type(), ErrorType::fatal);
    });
}

TEST_F(ConnectTest, WhoDoesNotAnswerIsANetworkErrorThatNamesTheCause) {
    run([this]() -> asio::awaitable<void> {
        const ClosedPort closed{io};
        const auto to_nobody = tcp({{"port", closed.number()}});
        const auto refusal = co_await refused(to_nobody);
        EXPECT_EQ(refusal, PostgresErrc::server_unreachable);
        EXPECT_EQ(refusal.type(), ErrorType::network);
        EXPECT_NE(refusal.message().find("refused"), std::string::npos) << refusal;

        const auto by_name = tcp({{"host", "nobody.invalid"}});
        const auto unknown = co_await refused(by_name);
        EXPECT_EQ(unknown, PostgresErrc::server_unreachable);
        EXPECT_NE(unknown.message().find("nobody.invalid"), std::string::npos) << unknown;

        const auto by_socket = tcp({{"host", "/nowhere"}});
        const auto no_socket = co_await refused(by_socket);
        EXPECT_EQ(no_socket.type(), ErrorType::network) << no_socket;
    });
}

TEST_F(ConnectTest, ADeadlineEndsAConnectThatHangs) {
    run([this]() -> asio::awaitable<void> {
        const SilentPort silent{io};
        const auto deadline = now() + 100ms;
        const auto config = tcp({{"port", silent.number()}});
        const auto error = co_await refused(config, CallContext{deadline});
        EXPECT_EQ(error, Errc::deadline_exceeded) << error;
        EXPECT_GE(now(), deadline);
        EXPECT_LT(now(), deadline + 2s);
        EXPECT_NE(error.message().find("127.0.0.1"), std::string::npos) << error;
    });
}

TEST_F(ConnectTest, OfSeveralHostsTheFirstThatAnswersIsTaken) {
    run([this]() -> asio::awaitable<void> {
        const ClosedPort closed{io};
        const SilentPort silent{io};
        auto config = tcp({{"host", "nobody.invalid,localhost,localhost,localhost"},
                           {"port", "1," + closed.number() + "," + silent.number() + "," + server.port()},
                           {"connect_timeout", "2"}});
        auto connection = co_await connected(config);
        EXPECT_EQ(co_await value_of<int>(connection, "select inet_server_port()"), std::stoi(server.port()));
    });
}

TEST_F(ConnectTest, EachOfSeveralHostsHasItsShareOfTheTimeThatIsLeft) {
    run([this]() -> asio::awaitable<void> {
        const SilentPort silent{io};
        auto config = tcp({{"host", "127.0.0.1,127.0.0.1"}, {"port", silent.number() + "," + server.port()}});
        auto opening = Connection::open(config, CallContext{now() + 10s});
        const auto opened = co_await std::move(opening);
        EXPECT_TRUE(opened) << opened.error();
    });
}

TEST_F(ConnectTest, AHostThatDoesNotAcceptUsEndsTheSearch) {
    run([this]() -> asio::awaitable<void> {
        auto config = tcp({{"host", "127.0.0.1,127.0.0.1"}, {"password", "wrong"}, {"sslmode", "disable"}});
        const auto error = co_await refused(config);
        EXPECT_EQ(error, SqlState::invalid_password);
        const auto text = error.message();
        EXPECT_EQ(text.find("password authentication failed"), text.rfind("password authentication failed")) << text;
    });
}

TEST_F(ConnectTest, WhatTheSessionMustBeIsHeeded) {
    run([this]() -> asio::awaitable<void> {
        const auto as_primary = tcp({{"target_session_attrs", "read-write"}});
        auto primary = co_await connected(as_primary);
        EXPECT_FALSE(primary.is_broken());
        const auto as_any = tcp({{"target_session_attrs", "prefer-standby"}});
        auto any = co_await connected(as_any);
        EXPECT_FALSE(any.is_broken()) << "there is no standby";
        const auto as_standby = tcp({{"target_session_attrs", "standby"}});
        const auto error = co_await refused(as_standby);
        EXPECT_EQ(error.type(), ErrorType::network) << error;
    });
}

TEST_F(ConnectTest, AServerThatHasNoRoomForAnotherOneSaysSo) {
    const OwnServer small{folder(), "max_connections=3"};
    run([&]() -> asio::awaitable<void> {
        ConnectionConfig config;
        config.dsn = small.tcp_dsn();
        std::vector<Connection> all;
        for (int i = 0; i < 3; ++i) all.push_back(co_await connected(config));
        const auto error = co_await refused(config);
        EXPECT_EQ(error, SqlState::too_many_connections) << error;
        EXPECT_EQ(error.type(), ErrorType::resource_exhausted);
        EXPECT_TRUE(error.passes_with_time());
        all.pop_back();
        std::optional<Error> problem{error};
        const auto until = now() + 10s;
        while (problem && now() < until) { // the server takes a moment to see that it is gone
            auto opening = Connection::open(config);
            const auto opened = co_await std::move(opening);
            problem = opened ? std::nullopt : std::optional{opened.error()};
        }
        EXPECT_FALSE(problem);
    });
}

TEST_F(ConnectTest, ACancelledConnectLeavesNothingBehind) {
    asio::cancellation_signal signal;
    std::optional<Error> error;
    const SilentPort silent{io};
    const auto config = tcp({{"port", silent.number()}});
    auto opening = [&]() -> asio::awaitable<void> { error = co_await refused(config); };
    const auto descriptors = [] {
        return std::distance(std::filesystem::directory_iterator{"/proc/self/fd"},
                             std::filesystem::directory_iterator{});
    };
    const auto before = descriptors();
    asio::co_spawn(io, opening(), asio::bind_cancellation_slot(signal.slot(), [](std::exception_ptr) {}));
    run([&]() -> asio::awaitable<void> {
        EXPECT_TRUE(co_await eventually([&] { return descriptors() > before; }));
        signal.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await eventually([&] { return error.has_value() && descriptors() == before; }));
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(*error, Errc::cancelled) << *error;
}

} // namespace
} // namespace velostream::postgres
