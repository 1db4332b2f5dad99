// SPDX-License-Identifier: Apache-2.0
// A broker that hangs takes requests into its system's memory, and carries them out when it goes on; by then they were
// sent once more.
#include <signal.h>

#include <map>

#include "broker_test.hpp"

namespace velostream::kafka {
namespace {

class IdempotenceTest : public BrokerTest {
  protected:
    /// The broker hangs while this lives.
    class Hang {
      public:
        explicit Hang(pid_t broker) : broker_(broker) { EXPECT_EQ(::kill(broker_, SIGSTOP), 0); }
        Hang(const Hang&) = delete;
        Hang& operator=(const Hang&) = delete;
        ~Hang() { ::kill(broker_, SIGCONT); }

      private:
        const pid_t broker_;
    };

    static pid_t broker() {
        pid_t number = 0;
        std::ifstream{folder() / "0" / "pid"} >> number;
        return number;
    }
};

TEST_F(IdempotenceTest, ARecordThatWasSentAgainToABrokerThatHungIsWrittenOnce) {
    constexpr int rounds = 3, records = 100;
    const auto topic = unique("once");
    ASSERT_GT(broker(), 1);
    int acknowledged = 0;
    run(
        io,
        [&]() -> asio::awaitable<void> {
            co_await create_topic(topic, 1);
            Producer producer{io.get_executor(),
                              {.bootstrap_servers = address,
                               .delivery_timeout = 2min,
                               .linger = 0ms,
                               .properties = {{"socket.timeout.ms", "300"}, {"batch.num.messages", "10"}}}};
            const auto handler = [&](const Result<Delivery>& sent) {
                EXPECT_TRUE(sent) << sent.error();
                ++acknowledged;
            };
            for (int round = 0; round < rounds; ++round) {
                producer.async_send(Record{topic, std::nullopt, "connected " + std::to_string(round)}, handler);
                co_await producer.async_flush(asio::use_awaitable);
                {
                    const Hang hang{broker()};
                    for (int i = 0; i < records; ++i)
                        producer.async_send(Record{topic, std::nullopt, std::to_string(round * records + i)}, handler);
                    co_await pause_for(1s); // so that the client gives the connection up
                }
                co_await producer.async_flush(asio::use_awaitable);
            }
        },
        4min);

    EXPECT_EQ(acknowledged, rounds * (records + 1));
    std::map<std::string, int> copies;
    for (const auto& logged : read_log(address, topic, 0)) ++copies[logged.record.value.value_or("")];
    EXPECT_EQ(copies.size(), static_cast<std::size_t>(rounds * (records + 1)));
    for (const auto& [value, times] : copies) EXPECT_EQ(times, 1) << value;
}

} // namespace
} // namespace velostream::kafka
