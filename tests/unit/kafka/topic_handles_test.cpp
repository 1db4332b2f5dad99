// SPDX-License-Identifier: Apache-2.0
//
// How many topic handles a producer asks the client library for, seen from between the two: the calls of this program
// come here first.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <boost/asio/io_context.hpp>
#include <optional>
#include <string>
#include <vector>

#include "velostream/kafka/producer.hpp"

namespace velostream::kafka {
namespace {

std::vector<std::string>* asked_for = nullptr; // by name; set by whoever counts

} // namespace
} // namespace velostream::kafka

extern "C" {

__attribute__((visibility("default"))) rd_kafka_topic_t* rd_kafka_topic_new(rd_kafka_t* client, const char* name,
                                                                            rd_kafka_topic_conf_t* conf) {
    static const auto real = reinterpret_cast<decltype(&rd_kafka_topic_new)>(::dlsym(RTLD_NEXT, "rd_kafka_topic_new"));
    if (velostream::kafka::asked_for) velostream::kafka::asked_for->emplace_back(name);
    return real(client, name, conf);
}

} // extern "C"

namespace velostream::kafka {
namespace {

using Names = std::vector<std::string>;

class TopicHandles : public testing::Test {
  protected:
    TopicHandles() { asked_for = &names; }
    ~TopicHandles() override { asked_for = nullptr; }

    Names names;
    boost::asio::io_context io{1};
    std::optional<Producer> producer{std::in_place, io.get_executor(),
                                     ProducerConfig{.bootstrap_servers = "127.0.0.1:1"}};
};

TEST_F(TopicHandles, AreMadeOnceForEachTopicHoweverManyRecordsGoThere) {
    Record plain{"plain", "k", "v"}, other{"other", "k", "v"}, full{"full", "k", "v"};
    full.headers.emplace_back("name", "value");

    for (int turn = 0; turn < 100; ++turn)
        for (const auto* record : {&plain, &other, &full, &full})
            producer->async_send(*record, [](const Result<Delivery>&) {});

    EXPECT_EQ(producer->get_stats().in_flight, 400U);
    EXPECT_EQ(names, (Names{"plain", "other", "full"}));
}

TEST_F(TopicHandles, AreEachProducersOwn) {
    Producer second{io.get_executor(), {.bootstrap_servers = "127.0.0.1:1"}};
    const Record record{"t", "k", "v"};

    for (auto* const sender : {&*producer, &second, &*producer})
        sender->async_send(record, [](const Result<Delivery>&) {});

    EXPECT_EQ(names, (Names{"t", "t"}));
}

} // namespace
} // namespace velostream::kafka
