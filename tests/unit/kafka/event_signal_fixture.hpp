// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "kafka/event_signal.hpp"

namespace velostream::kafka {

// A client without brokers, and records of it that it gives back: their reports are its events.
class Client {
  public:
    Client() {
        auto* conf = rd_kafka_conf_new();
        rd_kafka_conf_set_dr_msg_cb(
            conf, [](rd_kafka_t*, const rd_kafka_message_t*, void* count) { ++*static_cast<int*>(count); });
        rd_kafka_conf_set_opaque(conf, &reports);
        rd_kafka_conf_set_log_cb(conf, nullptr);
        client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
        topic_ = rd_kafka_topic_new(client_, "t", nullptr);
        events = rd_kafka_queue_get_main(client_);
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() {
        rd_kafka_queue_destroy(events);
        rd_kafka_topic_destroy(topic_);
        rd_kafka_destroy(client_);
    }

    void make_event() {
        rd_kafka_produce(topic_, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, nullptr, 0, nullptr, 0, nullptr);
        rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE);
    }
    void poll() { rd_kafka_queue_poll_callback(events, 0); }

    int reports = 0;
    rd_kafka_queue_t* events = nullptr;

  private:
    rd_kafka_t* client_ = nullptr;
    rd_kafka_topic_t* topic_ = nullptr;
};

// A handle with a client. Unless something else is asked for, it serves what wakes it, and listens on.
class Handle final : private EventSignal::Owner {
  public:
    explicit Handle(const asio::any_io_executor& executor) {
        open_signal(executor);
        connection.emplace(*signal, client.events);
    }
    void open_signal(const asio::any_io_executor& executor) {
        signal.emplace(executor, static_cast<EventSignal::Owner&>(*this));
    }

    int wakes = 0;
    std::function<void()> on_wake = [this] {
        client.poll();
        signal->listen();
    };
    Client client;
    std::optional<EventSignal> signal;
    std::optional<EventSignal::Connection> connection;

  private:
    void on_events() override {
        ++wakes;
        on_wake();
    }
};

class EventSignalTest : public ::testing::Test {
  protected:
    EventSignalTest() { listening_handle(); } // a context that has waited has descriptors of its own

    // How much had to be done.
    std::size_t poll(asio::io_context& context) {
        context.restart();
        return context.poll();
    }
    std::size_t poll() { return poll(io); }
    void poll_one() {
        io.restart();
        io.poll_one();
    }
    // It has served what there was before, and listens.
    std::unique_ptr<Handle> listening_handle(const asio::any_io_executor& executor) {
        auto handle = std::make_unique<Handle>(executor);
        handle->signal->listen();
        poll(static_cast<asio::io_context&>(executor.context()));
        handle->wakes = 0;
        return handle;
    }
    std::unique_ptr<Handle> listening_handle() { return listening_handle(io.get_executor()); }

    asio::io_context io{1};
};

} // namespace velostream::kafka
