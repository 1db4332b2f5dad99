// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "event_signal.hpp"
#include "velostream/core/record_view.hpp"
#include "velostream/kafka/producer_config.hpp"

namespace velostream::kafka {

/// What a client needs to write in transactions.
struct TransactionalIdentity {
    std::string id;
    Duration timeout; // after which the brokers abort
};

/// One client handle of a producer, from its creation to its replacement. It is destroyed in the background, since that
/// blocks.
class ProducerSession {
  public:
    /// Who is told, inside of `serve` only.
    class Listener {
      public:
        /// The report of one message. False: `serve` returns, and the reports after it come with the next call.
        virtual bool on_report(const rd_kafka_message_t& report) noexcept = 0;
        virtual void on_problem(int code, const char* text) noexcept = 0;

      protected:
        ~Listener() = default;
    };

    /// Throws as `ClientConf::open`. The listener must outlive this object.
    ProducerSession(const ProducerConfig& config, EventSignal& signal, Listener& listener,
                    const std::optional<TransactionalIdentity>& transactions = std::nullopt);
    ProducerSession(const ProducerSession&) = delete;
    ProducerSession& operator=(const ProducerSession&) = delete;
    ~ProducerSession();

    /// No more wakes from now on.
    void disconnect() noexcept { connection_.reset(); }

    /// Hands a copy of the record over. `opaque` comes back with its delivery report, unless this fails.
    ///
    /// A topic that the client knows not to exist is UNKNOWN_TOPIC_OR_PART for its first half minute here (or another
    /// time that the properties say), since it may have been made just now, and _UNKNOWN_TOPIC from then on.
    rd_kafka_resp_err_t produce(const RecordView& record, void* opaque);

    /// Tells the listener everything that there is now. What comes meanwhile wakes the signal again.
    ///
    /// Reports are taken through the library's callback and not as an event: an event keeps its thousands of messages
    /// until the end, and what replaces them then finds only memory that no cache holds.
    ///
    /// In transactions they do come as events: commit and abort would call the callback on their own thread.
    void serve() noexcept;

    /// Makes everything that was handed over come back now.
    void purge() noexcept;

    /// What a fatal error was about.
    std::string fatal_error() const;

    /// Messages that the client has, and reports that were not told yet.
    std::size_t queued() const noexcept { return static_cast<std::size_t>(rd_kafka_outq_len(client_)); }

    /// For calls that block.
    rd_kafka_t* client() const noexcept { return client_; }
    /// Drops everything that there is to tell. For the thread that ends a session which nobody serves any more.
    void drain() noexcept;

  private:
    rd_kafka_topic_t* topic(std::string_view name);
    rd_kafka_resp_err_t produce_plainly(rd_kafka_topic_t* topic, const RecordView& record, void* opaque);
    rd_kafka_resp_err_t produce_in_full(rd_kafka_topic_t* topic, const RecordView& record, void* opaque);

    struct Hook {
        Listener* listener; // null once the session has gone
        static void on_report(rd_kafka_t* client, const rd_kafka_message_t* report, void* self);
        static void on_problem(rd_kafka_t* client, int code, const char* text, void* self);
    };

    struct DestroyEvent {
        void operator()(rd_kafka_event_t* event) const noexcept { rd_kafka_event_destroy(event); }
    };
    using Event = std::unique_ptr<rd_kafka_event_t, DestroyEvent>;

    const bool has_transactions_;
    const Duration propagation_; // of new topics among the brokers
    Event reports_;              // those of its messages that are left were not told yet
    std::unique_ptr<Hook> hook_; // what the client knows of us; it outlives us in the background
    rd_kafka_t* client_ = nullptr;
    rd_kafka_queue_t* events_ = nullptr;
    std::optional<EventSignal::Connection> connection_;

    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
    };

    // With a topic's name instead of its handle the first record of a topic waits for up to a second in 2.0.2.
    struct Topic {
        rd_kafka_topic_t* handle = nullptr;
        TimePoint opened = {};
    };
    std::unordered_map<std::string, Topic, Hash, std::equal_to<>> topics_;
    const std::string* last_name_ = nullptr; // most programs write to one topic at a time
    rd_kafka_topic_t* last_topic_ = nullptr;
};

} // namespace velostream::kafka
