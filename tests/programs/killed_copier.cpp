// SPDX-License-Identifier: Apache-2.0
// Copies a topic to another and makes dead letters of what is bad, until all is done; and kills itself at the Nth time
// that it comes to a point:
//
//     killed_copier make BROKERS PREFIX PARTITIONS      (the topics)
//     killed_copier copy BROKERS PREFIX PARTITIONS DEAD_LETTER_BROKERS SPOOL_DIRECTORY [POINT N]
//     killed_copier exactly-once BROKERS PREFIX PARTITIONS [POINT N]
//
// All is done only when it has all partitions: for a while the group may take one for alive that was killed before.
//
// Points of `copy`: read, sent (handed to the client, not acknowledged), acknowledged, spooled, stored (the record is
// done), committed.
//
// Points of `exactly-once`, where everything is written in transactions, and some are aborted: read, sent, written
// (acknowledged), buried (the same of a dead letter), and around the client's calls begun, offsets, offsets_sent,
// committing, committed, aborting, aborted.
#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <unistd.h>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/exactly_once.hpp"
#include "velostream/kafka/producer.hpp"

namespace asio = boost::asio;
namespace kafka = velostream::kafka;
using namespace std::chrono_literals;
using velostream::Error, velostream::Result;

namespace {

// Threads: safe.
class KillPoint {
  public:
    KillPoint(std::string name, int times) : name_(std::move(name)), left_(times) {}

    void come_to(std::string_view point) {
        if (point == name_ && --left_ == 0) ::kill(::getpid(), SIGKILL);
    }

  private:
    std::string name_;
    std::atomic<int> left_;
};

std::atomic<KillPoint*> kill_of_calls = nullptr; // for what the client library is called for

void come_to(std::string_view point) {
    if (auto* const kill = kill_of_calls.load()) kill->come_to(point);
}

// `to` sends as a producer does.
template <class Sender>
asio::awaitable<Result<void>> copy_to(Sender& to, const std::string& topic, const kafka::ConsumedRecord& record,
                                      asio::io_context& io, KillPoint& kill) {
    const kafka::Record copied{topic, std::string{record.key().value_or("")}, std::string{record.value().value_or("")}};
    std::optional<Result<kafka::Delivery>> sent;
    velostream::WaitQueue acknowledged;
    to.async_send(copied, asio::bind_executor(io, [&](Result<kafka::Delivery> delivery) {
                      sent = std::move(delivery);
                      acknowledged.wake_all();
                  }));
    kill.come_to("sent");
    const auto is_there = [&sent]() noexcept { return sent.has_value(); };
    while (!sent) { // also after a cancellation: the callback writes here
        auto waiting = acknowledged.async_wait_unless(is_there, asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
    }
    if (!*sent) co_return sent->error();
    co_return Result<void>{};
}

class Copier {
  public:
    Copier(asio::io_context& io, const std::string& brokers, const std::string& prefix, const std::string& partitions,
           const std::string& letter_brokers, const std::string& spool_directory, KillPoint& kill)
        : io_(io),
          kill_(kill),
          out_topic_(prefix + "-out"),
          partitions_(std::stoul(partitions)),
          in_(io.get_executor(), {.bootstrap_servers = brokers,
                                  .group_id = prefix,
                                  .topics = {prefix + "-in"},
                                  .session_timeout = 1s,
                                  .commit_interval = commit_interval,
                                  .report_ends = true,
                                  .properties = {{"heartbeat.interval.ms", "200"}}}),
          out_(io.get_executor(), {.bootstrap_servers = brokers}),
          letters_out_(io.get_executor(), {.bootstrap_servers = letter_brokers, .delivery_timeout = delivery_timeout}),
          letters_({.topic = prefix + "-dead-letters",
                    .retry_delay = 300ms,
                    .delivery_timeout = delivery_timeout,
                    .spool_directory = spool_directory,
                    .spool_min_free_disk = 0},
                   kafka::DeadLetterTopic{letters_out_}, {.group = prefix}) {}

    asio::awaitable<void> run() {
        asio::co_spawn(io_, look_at_offsets(), asio::detached);
        auto handler = [this](const kafka::ConsumedRecord& record) { return handle(record); };
        asio::co_spawn(io_, in_.for_each({.max_in_flight = 100}, handler), [](std::exception_ptr, Result<void> ended) {
            if (ended) return;
            std::cerr << ended.error() << '\n';
            std::exit(1);
        });
        asio::steady_timer look{io_};
        while (!is_done()) {
            look.expires_after(20ms);
            co_await look.async_wait(asio::use_awaitable);
        }
        is_over_ = true;
        in_.stop();
        co_await in_.close();
    }

  private:
    static constexpr auto commit_interval = 50ms;
    static constexpr auto delivery_timeout = 1s;

    bool is_done() const {
        return in_.end_reached() && in_.assignment().size() == partitions_ && in_progress_ == 0 &&
               letters_.get_stats().spool.waiting == 0;
    }

    asio::awaitable<Result<void>> handle(const kafka::ConsumedRecord& record) {
        ++in_progress_;
        kill_.come_to("read");
        auto copying = record.value().value_or("").starts_with("bad") ? bury(record) : copy(record);
        auto done = co_await std::move(copying);
        --in_progress_;
        co_return done;
    }

    asio::awaitable<Result<void>> bury(const kafka::ConsumedRecord& record) {
        const Error error{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "bad"};
        auto sending = letters_.send_to_dlq(record, error);
        const auto stored = co_await std::move(sending);
        if (!stored) co_return stored.error();
        kill_.come_to(stored->spooled ? "spooled" : "acknowledged");
        co_return Result<void>{};
    }

    asio::awaitable<Result<void>> copy(const kafka::ConsumedRecord& record) {
        auto copying = copy_to(out_, out_topic_, record, io_, kill_);
        const auto copied = co_await std::move(copying);
        if (copied) kill_.come_to("acknowledged");
        co_return copied;
    }

    // What is done is committed `commit_interval` later at most.
    asio::awaitable<void> look_at_offsets() {
        std::int64_t before = 0;
        for (asio::steady_timer look{io_}; !is_over_;) {
            look.expires_after(1ms);
            co_await look.async_wait(asio::use_awaitable);
            std::int64_t stored = 0;
            for (const auto& partition : in_.assignment()) stored += partition.stored.value_or(0);
            if (stored <= std::exchange(before, stored)) continue;
            kill_.come_to("stored");
            look.expires_after(2 * commit_interval);
            co_await look.async_wait(asio::use_awaitable);
            kill_.come_to("committed");
        }
    }

    asio::io_context& io_;
    KillPoint& kill_;
    const std::string out_topic_;
    const std::size_t partitions_;
    kafka::Consumer in_;
    kafka::Producer out_, letters_out_;
    velostream::DeadLetterQueue<kafka::DeadLetterTopic> letters_;
    int in_progress_ = 0;
    bool is_over_ = false;
};

class ExactlyOnceCopier {
  public:
    ExactlyOnceCopier(asio::io_context& io, const std::string& brokers, const std::string& prefix,
                      const std::string& partitions, KillPoint& kill)
        : io_(io),
          kill_(kill),
          out_topic_(prefix + "-out"),
          partitions_(std::stoul(partitions)),
          processor_(io.get_executor(), {.transactional_id = prefix,
                                         .consumer = {.bootstrap_servers = brokers,
                                                      .group_id = prefix,
                                                      .topics = {prefix + "-in"},
                                                      .session_timeout = 1s,
                                                      .report_ends = true,
                                                      .properties = {{"heartbeat.interval.ms", "200"}}},
                                         .commit_interval = 20ms,
                                         .max_records = 60}),
          letters_({.topic = prefix + "-dead-letters", .retry_delay = 300ms}, kafka::DeadLetterTopic{processor_},
                   {.group = prefix}) {
        kill_of_calls = &kill;
    }

    asio::awaitable<void> run() {
        asio::co_spawn(io_, loop(), asio::detached);
        asio::steady_timer look{io_};
        while (!processor_.end_reached() || processor_.assignment().size() != partitions_) {
            look.expires_after(20ms);
            co_await look.async_wait(asio::use_awaitable);
        }
        co_await processor_.close();
    }

  private:
    static constexpr int handled_before_a_failure = 150;

    asio::awaitable<void> loop() {
        auto handler = [this](const kafka::ConsumedRecord& record, kafka::Transaction& transaction) {
            return handle(record, transaction);
        };
        for (bool is_over = false; !is_over;) {
            auto running = processor_.for_each({.max_in_flight = 100}, handler);
            const auto ended = co_await std::move(running);
            is_over = ended.has_value();
            if (is_over || ended.error().detail() == aborted) continue;
            std::cerr << ended.error() << '\n';
            std::exit(1);
        }
    }

    asio::awaitable<Result<void>> handle(const kafka::ConsumedRecord& record, kafka::Transaction& transaction) {
        kill_.come_to("read");
        auto copying = record.value().value_or("").starts_with("bad") ? bury(record) : copy(record, transaction);
        auto done = co_await std::move(copying);
        if (done && ++handled_ % handled_before_a_failure == 0)
            co_return Error{velostream::Errc::operation_failed, aborted};
        co_return done;
    }

    asio::awaitable<Result<void>> bury(const kafka::ConsumedRecord& record) {
        const Error error{boost::system::errc::make_error_code(boost::system::errc::invalid_argument), "bad"};
        auto sending = letters_.send_to_dlq(record, error);
        const auto stored = co_await std::move(sending);
        if (!stored) co_return stored.error();
        kill_.come_to("buried");
        co_return Result<void>{};
    }

    asio::awaitable<Result<void>> copy(const kafka::ConsumedRecord& record, kafka::Transaction& transaction) {
        auto copying = copy_to(transaction, out_topic_, record, io_, kill_);
        const auto copied = co_await std::move(copying);
        if (copied) kill_.come_to("written");
        co_return copied;
    }

    static constexpr const char* aborted = "to be aborted";

    asio::io_context& io_;
    KillPoint& kill_;
    const std::string out_topic_;
    const std::size_t partitions_;
    kafka::ExactlyOnceProcessor processor_;
    velostream::DeadLetterQueue<kafka::DeadLetterTopic> letters_;
    int handled_ = 0;
};

asio::awaitable<void> make_topics(std::string brokers, std::string prefix, int partitions, bool& made) {
    std::vector<kafka::NewTopic> topics;
    for (const auto* name : {"-in", "-out"}) topics.emplace_back(prefix + name, partitions);
    topics.push_back(kafka::new_dead_letter_topic({.topic = prefix + "-dead-letters"}, partitions));
    const kafka::Admin admin{{.bootstrap_servers = brokers}};
    auto making = admin.create_topics(std::move(topics));
    const auto result = co_await std::move(making);
    if (!result) std::cerr << result.error() << '\n';
    made = result.has_value();
}

int usage() {
    std::cerr << "usage: killed_copier make BROKERS PREFIX PARTITIONS\n"
                 "       killed_copier copy BROKERS PREFIX PARTITIONS DEAD_LETTER_BROKERS SPOOL_DIRECTORY [POINT N]\n"
                 "       killed_copier exactly-once BROKERS PREFIX PARTITIONS [POINT N]\n";
    return 2;
}

template <class SomeCopier, class... Arguments>
void run_to_the_end(KillPoint& kill, const Arguments&... arguments) {
    std::optional<SomeCopier> copier;
    asio::io_context io{1};
    copier.emplace(io, arguments..., kill);
    asio::co_spawn(io, copier->run(), [&](std::exception_ptr failed) {
        copier.reset();
        if (failed) std::rethrow_exception(failed);
    });
    io.run();
}

template <class Function>
Function of_the_library(Function, const char* name) {
    return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

} // namespace

// In place of the client library's own, which they call.
extern "C" {

rd_kafka_error_t* rd_kafka_begin_transaction(rd_kafka_t* client) {
    static const auto call = of_the_library(&rd_kafka_begin_transaction, "rd_kafka_begin_transaction");
    auto* const error = call(client);
    come_to("begun");
    return error;
}

rd_kafka_error_t* rd_kafka_send_offsets_to_transaction(rd_kafka_t* client,
                                                       const rd_kafka_topic_partition_list_t* offsets,
                                                       const rd_kafka_consumer_group_metadata_t* group, int at_most) {
    static const auto call =
        of_the_library(&rd_kafka_send_offsets_to_transaction, "rd_kafka_send_offsets_to_transaction");
    come_to("offsets");
    auto* const error = call(client, offsets, group, at_most);
    come_to("offsets_sent");
    return error;
}

rd_kafka_error_t* rd_kafka_commit_transaction(rd_kafka_t* client, int at_most) {
    static const auto call = of_the_library(&rd_kafka_commit_transaction, "rd_kafka_commit_transaction");
    come_to("committing");
    auto* const error = call(client, at_most);
    come_to("committed");
    return error;
}

rd_kafka_error_t* rd_kafka_abort_transaction(rd_kafka_t* client, int at_most) {
    static const auto call = of_the_library(&rd_kafka_abort_transaction, "rd_kafka_abort_transaction");
    come_to("aborting");
    auto* const error = call(client, at_most);
    come_to("aborted");
    return error;
}

} // extern "C"

int main(int argc, char** argv) {
    const std::vector<std::string> arguments{argv + 1, argv + argc};
    if (arguments.size() == 4 && arguments[0] == "make") {
        asio::io_context io{1};
        bool made = false;
        asio::co_spawn(io, make_topics(arguments[1], arguments[2], std::stoi(arguments[3]), made), asio::detached);
        io.run();
        return made ? 0 : 1;
    }
    const bool is_copying = !arguments.empty() && arguments[0] == "copy";
    const bool is_exactly_once = !arguments.empty() && arguments[0] == "exactly-once";
    const std::size_t plain = is_copying ? 6 : 4;
    const bool is_killed = arguments.size() == plain + 2;
    if ((!is_copying && !is_exactly_once) || (arguments.size() != plain && !is_killed)) return usage();
    KillPoint kill{is_killed ? arguments[plain] : std::string{}, is_killed ? std::stoi(arguments[plain + 1]) : 0};
    if (is_copying)
        run_to_the_end<Copier>(kill, arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    else
        run_to_the_end<ExactlyOnceCopier>(kill, arguments[1], arguments[2], arguments[3]);
}
