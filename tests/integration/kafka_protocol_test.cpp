// SPDX-License-Identifier: Apache-2.0
// What goes over the wire: seen with plain sockets.
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <sstream>

#include "kafka_support.hpp"

namespace velostream::kafka {
namespace {

using asio::ip::tcp;

/// The first request that a client sends to a broker that accepts and stays silent.
class SilentBroker {
  public:
    explicit SilentBroker(asio::io_context& io) : acceptor_(io, {asio::ip::address_v4::loopback(), 0}), socket_(io) {}

    std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

    /// A request is its size in four bytes, then key, version and correlation number, then the client's name.
    asio::awaitable<std::string> client_name() {
        socket_ = co_await acceptor_.async_accept(asio::use_awaitable);
        std::array<unsigned char, 14> head{};
        co_await asio::async_read(socket_, asio::buffer(head), asio::use_awaitable);
        std::string name(std::size_t{head[12]} * 256 + head[13], '\0');
        co_await asio::async_read(socket_, asio::buffer(name), asio::use_awaitable);
        co_return name;
    }

  private:
    tcp::acceptor acceptor_;
    tcp::socket socket_;
};

TEST(KafkaProtocol, BrokersAreToldTheClientIdOfAProducer) {
    asio::io_context io{1};
    run(io, [&]() -> asio::awaitable<void> {
        SilentBroker broker{io};
        const Producer producer{io.get_executor(), {.bootstrap_servers = broker.address(), .client_id = "writer-7"}};

        const auto name = co_await broker.client_name();

        EXPECT_EQ(name, "writer-7");
    });
}

TEST(KafkaProtocol, BrokersAreToldTheClientIdOfAConsumer) {
    asio::io_context io{1};
    run(io, [&]() -> asio::awaitable<void> {
        SilentBroker broker{io};
        const Consumer consumer{
            io.get_executor(),
            {.bootstrap_servers = broker.address(), .group_id = "g", .topics = {"t"}, .client_id = "reader-7"}};

        const auto name = co_await broker.client_name();

        EXPECT_EQ(name, "reader-7");
    });
}

// Eight records of almost a megabyte of zeros do not fit into the 5 MiB that the mock cluster keeps of a partition,
// unless they are compressed.
std::size_t records_kept_with(Compression compression) {
    asio::io_context io{1};
    const MockCluster cluster{1};
    run(io, [&]() -> asio::awaitable<void> {
        std::vector<Record> records(8, Record{"t", std::nullopt, std::string(900'000, '\0')});
        for (auto& record : records) record.partition = 0;
        Producer producer{io.get_executor(),
                          {.bootstrap_servers = cluster.bootstrap_servers(), .compression = compression}};
        for (const auto& record : records) {
            const auto sent = co_await producer.send(record);
            EXPECT_TRUE(sent);
        }
        co_await producer.close();
    });
    return read_log(cluster.bootstrap_servers(), "t", 0).size();
}

TEST(KafkaProtocol, RecordsAreCompressedAsTheConfigSays) {
    EXPECT_LT(records_kept_with(Compression::none), 8U);
    for (const auto compression : {Compression::gzip, Compression::snappy, Compression::lz4, Compression::zstd})
        EXPECT_EQ(records_kept_with(compression), 8U) << to_string(compression);
}

/// True if a broker answers the question for its API versions.
bool answers(const std::string& address) {
    const auto colon = address.find(':');
    const tcp::endpoint endpoint{asio::ip::make_address(address.substr(0, colon)),
                                 static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)))};
    constexpr std::array<unsigned char, 14> question{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff};
    std::array<unsigned char, 8> head{};
    asio::io_context io{1};
    tcp::socket socket{io};
    boost::system::error_code code;
    socket.connect(endpoint, code);
    if (!code) asio::write(socket, asio::buffer(question), code);
    if (!code) asio::read(socket, asio::buffer(head), code);
    return !code && head[7] == 7;
}

std::vector<bool> who_answers(const MockCluster& cluster) {
    std::vector<bool> answering;
    std::istringstream addresses{cluster.bootstrap_servers()};
    for (std::string address; std::getline(addresses, address, ',');) answering.push_back(answers(address));
    return answering;
}

TEST(MockCluster, TheBrokerThatIsDownAnswersNobodyUntilItIsUpAgain) {
    MockCluster cluster{3};
    EXPECT_EQ(who_answers(cluster), (std::vector{true, true, true}));

    cluster.broker_down(2);
    EXPECT_EQ(who_answers(cluster), (std::vector{true, false, true}));

    cluster.broker_up(2);
    EXPECT_EQ(who_answers(cluster), (std::vector{true, true, true}));
}

TEST(MockCluster, RefusesTopicsThatNoBrokerWouldMake) {
    MockCluster cluster{1};
    for (const std::string& name : {std::string{}, std::string{"two words"}, std::string(250, 'x')})
        EXPECT_EQ(cluster.create_topic(name, 1).error(), KafkaErrc{17}) << name;
    for (const int partitions : {0, -1, 10'001})
        EXPECT_EQ(cluster.create_topic("t", partitions).error(), KafkaErrc{37}) << partitions;

    EXPECT_TRUE(cluster.create_topic(std::string(249, 'x'), 1));
    EXPECT_THROW(MockCluster{0}, std::runtime_error);
    EXPECT_THROW(MockCluster{-1}, std::runtime_error);
}

} // namespace
} // namespace velostream::kafka
