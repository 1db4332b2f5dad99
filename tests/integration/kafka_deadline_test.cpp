// SPDX-License-Identifier: Apache-2.0
// Sends end at their deadline, whatever is wrong with the brokers.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kafka_producer_fixture.hpp"

namespace velostream::kafka {
namespace {

class DeadlineTest : public ProducerTest {
  protected:
    static constexpr auto time = 300ms;

    /// Sends through a producer whose own timeout is short, and through one with a short deadline of each call.
    /// `before()` is what goes wrong when both are connected; nothing if they never are.
    void expect_sends_to_end_in_time(const ProducerConfig& config, std::function<void()> before = {}) {
        run(io, [&]() -> asio::awaitable<void> {
            auto impatient = config, patient = config;
            impatient.delivery_timeout = time;
            patient.delivery_timeout = 1min;
            Producer short_of_time{io.get_executor(), impatient}, in_no_hurry{io.get_executor(), patient};
            const Record record{"t", "k", "v"};
            if (before) {
                auto connected = co_await in_no_hurry.send(record);
                EXPECT_TRUE(connected) << connected.error();
                for (connected = Error{Errc::send_timeout}; !connected;)
                    connected = co_await short_of_time.send(record);
                before();
            }
            const auto deadline = now() + time;
            const CallContext call{deadline};
            int ended = 0;
            const auto handler = [&ended](const Result<Delivery>& sent) {
                EXPECT_FALSE(sent);
                ++ended;
            };

            for (int i = 0; i < 10; ++i) {
                short_of_time.async_send(record, handler);
                in_no_hurry.async_send(record, call, handler);
            }

            EXPECT_TRUE(co_await holds_soon_after(deadline, [&] { return ended == 20; })) << ended;
            EXPECT_TRUE(co_await eventually([&] { return ended == 20; }));
        });
    }
};

TEST_F(DeadlineTest, OfBrokersThatAreDown) {
    expect_sends_to_end_in_time(config(), [this] { cluster.all_brokers_down(); });
}

TEST_F(DeadlineTest, OfBrokersThatAreTooSlow) {
    expect_sends_to_end_in_time(config(), [this] { cluster.set_round_trip_time(2s); });
}

TEST_F(DeadlineTest, OfBrokersThatRefuseConnections) {
    expect_sends_to_end_in_time({.bootstrap_servers = "127.0.0.1:1"});
}

TEST_F(DeadlineTest, OfBrokersThatCannotBeFound) {
    expect_sends_to_end_in_time({.bootstrap_servers = "nobody.invalid:9092"});
}

// Its system takes the connection, and nobody ever says a word.
TEST_F(DeadlineTest, OfABrokerThatHangs) {
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(listening, reinterpret_cast<const sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listening, 16), 0);
    ASSERT_EQ(::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size), 0);

    expect_sends_to_end_in_time({.bootstrap_servers = "127.0.0.1:" + std::to_string(ntohs(address.sin_port))});

    ::close(listening);
}

TEST_F(DeadlineTest, OfSendsThatWaitForRoom) {
    auto narrow = config();
    narrow.max_in_flight = 1;
    expect_sends_to_end_in_time(narrow, [this] { cluster.all_brokers_down(); });
}

} // namespace
} // namespace velostream::kafka
