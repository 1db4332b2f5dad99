// SPDX-License-Identifier: Apache-2.0
#include "kafka/event_signal.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace velostream::kafka {
namespace {

// A client without brokers, and records of it that it gives back: their reports are its events.
class EventSignalTest : public testing::Test {
  protected:
    EventSignalTest() {
        auto* conf = rd_kafka_conf_new();
        rd_kafka_conf_set_dr_msg_cb(
            conf, [](rd_kafka_t*, const rd_kafka_message_t*, void* count) { ++*static_cast<int*>(count); });
        rd_kafka_conf_set_opaque(conf, &reports);
        rd_kafka_conf_set_log_cb(conf, nullptr);
        client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
        topic = rd_kafka_topic_new(client, "t", nullptr);
        events = rd_kafka_queue_get_main(client);
    }
    ~EventSignalTest() override {
        EventSignal::disconnect(events);
        rd_kafka_queue_destroy(events);
        rd_kafka_topic_destroy(topic);
        rd_kafka_destroy(client);
    }

    void make_event() {
        rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, nullptr, 0, nullptr, 0, nullptr);
        rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE);
    }
    // Whether the signal wakes its executor.
    bool wakes() {
        bool is_awake = false;
        signal.async_wait([&](const boost::system::error_code& code) { is_awake = !code; });
        io.restart();
        io.poll();
        signal.cancel();
        io.run();
        return is_awake;
    }

    asio::io_context io{1};
    EventSignal signal{io.get_executor()};
    int reports = 0;
    rd_kafka_t* client = nullptr;
    rd_kafka_topic_t* topic = nullptr;
    rd_kafka_queue_t* events = nullptr;
};

TEST_F(EventSignalTest, AnEventThatIsOlderThanTheConnectionWakes) {
    make_event();

    signal.connect(events);

    EXPECT_TRUE(wakes());
}

TEST_F(EventSignalTest, EveryFirstEventAfterAPollWakes) {
    signal.connect(events);
    signal.clear();

    for (int round = 1; round <= 3; ++round) {
        make_event();
        EXPECT_TRUE(wakes()) << round;
        signal.clear();
        rd_kafka_queue_poll_callback(events, 0);
        EXPECT_EQ(reports, round);
        EXPECT_FALSE(wakes()) << round;
    }
}

} // namespace
} // namespace velostream::kafka
