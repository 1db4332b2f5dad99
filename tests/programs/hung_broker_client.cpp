// SPDX-License-Identifier: Apache-2.0
// Sends, reads and makes dead letters while its broker hangs, and tells each step on standard output:
//
//     hung_broker_client BROKERS PREFIX SPOOL_DIRECTORY
//
// It prints `ready` when it has sent and read some records, and waits for a line: then the broker hangs. It prints
// `hung` when its sends have failed and their records are dead letters, and waits for a line: then the broker goes on.
// It ends when the spool is empty and new records were sent and read. Its last line is what it saw, as JSON.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "velostream/async/time_source.hpp"
#include "velostream/circuit_breaker.hpp"
#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/admin.hpp"
#include "velostream/kafka/consumer.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/producer.hpp"

namespace asio = boost::asio;
namespace kafka = velostream::kafka;
using namespace std::chrono_literals;
using velostream::Error, velostream::Result;

namespace {

constexpr int records = 30; // below what the queue takes for a flood
constexpr auto send_timeout = 1s;

velostream::TimePoint now() {
    return velostream::SteadyTime{}.now();
}

// Before the client: a consumer that meets no topic looks again minutes later.
asio::awaitable<void> make_topics(std::string brokers, std::string prefix) {
    std::vector<kafka::NewTopic> topics;
    topics.emplace_back(prefix + "-in", 2);
    topics.push_back(kafka::new_dead_letter_topic({.topic = prefix + "-dead-letters"}, 2));
    const kafka::Admin admin{{.bootstrap_servers = brokers}};
    auto making = admin.create_topics(std::move(topics));
    const auto made = co_await std::move(making);
    if (!made) throw std::runtime_error{made.error().message()};
}

void rethrow(const std::exception_ptr& failed) {
    if (failed) std::rethrow_exception(failed);
}

class Client {
  public:
    Client(asio::io_context& io, const std::string& brokers, const std::string& prefix, const std::string& spool)
        : io_(io),
          input_(io, ::dup(STDIN_FILENO)),
          prefix_(prefix),
          in_(io.get_executor(), {.bootstrap_servers = brokers, .group_id = prefix, .topics = {topic()}}),
          out_(io.get_executor(), {.bootstrap_servers = brokers, .delivery_timeout = send_timeout}),
          letters_out_(io.get_executor(), {.bootstrap_servers = brokers, .delivery_timeout = send_timeout}),
          letters_({.topic = prefix + "-dead-letters",
                    .retry_delay = 300ms,
                    .delivery_timeout = send_timeout,
                    .spool_directory = spool,
                    .spool_min_free_disk = 0},
                   kafka::DeadLetterTopic{letters_out_}, {.group = prefix}) {}

    asio::awaitable<void> run() {
        asio::co_spawn(io_, read(), rethrow);
        auto before = send_all("before");
        co_await std::move(before);
        auto reading = wait_until([this] { return count_of("before") == records; });
        co_await std::move(reading);
        if (!errors_.empty()) throw std::runtime_error{"failed while all was well: " + *errors_.begin()};

        auto hanging = tell("ready");
        co_await std::move(hanging);
        auto during = send_all("during");
        co_await std::move(during);
        const auto opened = breaker_.get_stats().opened_count;
        const auto probe = record_of("refused", 0);
        auto probing = send(probe);
        const auto refused = co_await std::move(probing);
        const bool is_refused = !refused && refused.error() == velostream::Errc::circuit_open;

        auto going_on = tell("hung");
        co_await std::move(going_on);
        auto relaying = wait_until([this] { return letters_.get_stats().spool.waiting == 0; });
        co_await std::move(relaying);
        auto after = send_after();
        co_await std::move(after);
        auto reading_on = wait_until([this] { return count_of("after") == records; });
        co_await std::move(reading_on);
        in_.stop();
        auto closing = in_.close();
        co_await std::move(closing);
        report(opened, is_refused);
    }

  private:
    std::string topic() const { return prefix_ + "-in"; }
    kafka::Record record_of(const std::string& when, int number) const {
        const auto name = when + "-" + std::to_string(number);
        return kafka::Record{topic(), name, name};
    }

    asio::awaitable<void> read() {
        auto handler = [this](const kafka::ConsumedRecord& record) -> asio::awaitable<void> {
            ++read_[std::string{record.value().value_or("")}];
            co_return;
        };
        auto reading = in_.for_each({}, handler);
        const auto ended = co_await std::move(reading);
        if (!ended) throw std::runtime_error{"the consumer ended: " + ended.error().message()};
    }
    /// Of how many records of that time there is one, at least.
    int count_of(const std::string& when) const {
        return static_cast<int>(
            std::ranges::count_if(read_, [&](const auto& each) { return each.first.starts_with(when); }));
    }

    asio::awaitable<Result<kafka::Delivery>> send(const kafka::Record& record) {
        auto call = [this, &record] { return out_.send(record); };
        auto calling = breaker_.execute(call);
        co_return co_await std::move(calling);
    }

    asio::awaitable<void> send_or_bury(std::string when, int number) {
        const auto record = record_of(when, number);
        // A plain timer that was set for the same time: on a busy machine it is late, too.
        const auto rings = std::make_shared<std::optional<velostream::TimePoint>>();
        asio::steady_timer timer{io_, now() + send_timeout};
        timer.async_wait([rings](const boost::system::error_code& code) {
            if (!code) *rings = now();
        });
        auto sending = send(record);
        const auto sent = co_await std::move(sending);
        if (!sent) {
            if (*rings) latest_ = std::max(latest_, now() - **rings);
            errors_.insert(sent.error().message());
            is_clear_ = is_clear_ && (sent.error() == velostream::Errc::send_outcome_unknown ||
                                      sent.error() == velostream::Errc::send_timeout ||
                                      sent.error() == velostream::Errc::broker_unreachable);
            auto burying = letters_.send_to_dlq(record, sent.error());
            const auto stored = co_await std::move(burying);
            if (!stored) throw std::runtime_error{"no dead letter: " + stored.error().message()};
            ++(stored->spooled ? spooled_ : delivered_);
        }
        --sending_;
    }

    /// All at once.
    asio::awaitable<void> send_all(std::string when) {
        sending_ = records;
        for (int number = 0; number < records; ++number) asio::co_spawn(io_, send_or_bury(when, number), rethrow);
        auto waiting = wait_until([this] { return sending_ == 0; });
        co_await std::move(waiting);
    }

    /// Each as soon as the circuit lets it through.
    asio::awaitable<void> send_after() {
        for (int number = 0; number < records; ++number) {
            const auto record = record_of("after", number);
            for (bool is_sent = false; !is_sent;) {
                co_await breaker_.async_ready(asio::use_awaitable);
                auto sending = send(record);
                const auto sent = co_await std::move(sending);
                is_sent = sent.has_value();
                if (!is_sent && sent.error() == velostream::Errc::send_outcome_unknown) ++unknown_after_;
            }
        }
    }

    asio::awaitable<void> wait_until(std::function<bool()> condition) {
        asio::steady_timer look{io_};
        while (!condition()) {
            look.expires_after(5ms);
            co_await look.async_wait(asio::use_awaitable);
        }
    }

    asio::awaitable<void> tell(std::string step) {
        std::cout << step << std::endl;
        asio::streambuf answer;
        co_await asio::async_read_until(input_, answer, '\n', asio::use_awaitable);
    }

    void report(std::uint64_t opened, bool is_refused) const {
        const auto stats = letters_.get_stats();
        const auto again = std::ranges::count_if(read_, [](const auto& each) { return each.second > 1; });
        const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(latest_).count();
        std::cerr << *errors_.begin() << '\n';
        std::cout << "{\"records\": " << records << ", \"errors_are_clear\": " << (is_clear_ ? "true" : "false")
                  << ", \"latest_ms\": " << milliseconds << ", \"opened\": " << opened
                  << ", \"refused\": " << (is_refused ? "true" : "false") << ", \"spooled\": " << spooled_
                  << ", \"delivered\": " << delivered_ << ", \"relayed\": " << stats.relayed
                  << ", \"failed_deliveries\": " << stats.failed_deliveries << ", \"lost\": " << stats.lost
                  << ", \"unknown_after\": " << unknown_after_ << ", \"read_again\": " << again << "}" << std::endl;
    }

    asio::io_context& io_;
    asio::posix::stream_descriptor input_;
    const std::string prefix_;
    kafka::Consumer in_;
    kafka::Producer out_, letters_out_;
    velostream::DeadLetterQueue<kafka::DeadLetterTopic> letters_;
    velostream::CircuitBreaker<> breaker_{"broker", {.failure_threshold = 5, .success_threshold = 2, .timeout = 3s}};
    std::map<std::string, int> read_; // how often, by value
    std::set<std::string> errors_;
    bool is_clear_ = true;
    velostream::Duration latest_{0}; // a send, after that timer
    int sending_ = 0, spooled_ = 0, delivered_ = 0, unknown_after_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: hung_broker_client BROKERS PREFIX SPOOL_DIRECTORY\n";
        return 2;
    }
    try {
        std::optional<Client> client;
        asio::io_context io{1};
        asio::co_spawn(io, make_topics(argv[1], argv[2]), rethrow);
        io.run();
        io.restart();
        client.emplace(io, argv[1], argv[2], argv[3]);
        asio::co_spawn(io, client->run(), [&](const std::exception_ptr& failed) {
            client.reset();
            rethrow(failed);
        });
        io.run();
        return 0;
    } catch (const std::exception& failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
}
