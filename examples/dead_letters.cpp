// SPDX-License-Identifier: Apache-2.0
// What happens to records that cannot be processed: a type of your own, a dead letter queue on an embedded Kafka
// cluster, and what the caller does with each answer.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "velostream/dead_letter_queue.hpp"
#include "velostream/kafka/dead_letter_topic.hpp"
#include "velostream/kafka/mock_cluster.hpp"
#include "velostream/kafka/producer.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;
using velostream::Errc, velostream::Error, velostream::Result;

namespace shop {

struct Line {
    std::int64_t number;
    std::string text;
};

// Makes a Line a record that can be dead-lettered. Nothing is copied.
velostream::RecordView record_view(const Line& line) {
    return {.topic = "lines.csv", .partition = 0, .offset = line.number, .value = line.text};
}

Result<int> quantity_of(const Line& line) {
    int quantity = 0;
    const auto* end = line.text.data() + line.text.size();
    const auto [stopped, code] = std::from_chars(line.text.data(), end, quantity);
    if (code == std::errc{} && stopped == end) return quantity;
    return Error{make_error_code(boost::system::errc::invalid_argument), "Quantity: \"" + line.text + '"'};
}

} // namespace shop

// True if the source may advance past the line.
template <class Queue>
asio::awaitable<bool> handle(const shop::Line& line, Queue& dead_letters) {
    const auto quantity = shop::quantity_of(line);
    if (quantity) co_return true;

    const auto error = quantity.error();
    const auto stored = co_await dead_letters.send_to_dlq(line, error);
    if (stored) co_return true;                                            // safe: acknowledged by the brokers
    if (stored.error() == Errc::record_not_to_blame) co_return false;      // a sick dependency: hold the line
    std::cerr << "line " << line.number << ": " << stored.error() << '\n'; // neither processed nor safe: hold it, too
    co_return false;
}

asio::awaitable<void> run(velostream::kafka::Producer& producer, std::filesystem::path spool_directory, int& held) {
    velostream::DeadLetterQueueConfig config{.topic = "failed-lines", .retry_delay = 500ms};
    config.spool_directory = spool_directory; // dead letters are safe there while the topic is away; empty: no spool
    velostream::DeadLetterQueue dead_letters{
        config, velostream::kafka::DeadLetterTopic{producer}, {.application = "quantities", .group = "example"}};

    const std::vector<shop::Line> lines{{1, "6"}, {2, "six"}, {3, "-2"}, {4, ""}};
    for (const auto& line : lines)
        if (!co_await handle(line, dead_letters)) ++held;

    std::cout << "dead letters: " << dead_letters.get_stats().sent << " of " << lines.size() << " lines\n";
}

// dead_letters [SPOOL_DIRECTORY]
int main(int argc, char** argv) {
    asio::io_context io;
    velostream::kafka::MockCluster cluster{1};
    velostream::kafka::Producer producer{io.get_executor(), {.bootstrap_servers = cluster.bootstrap_servers()}};
    int held = 0;
    asio::co_spawn(io, run(producer, argc > 1 ? argv[1] : "", held), [](std::exception_ptr failed) {
        if (failed) std::rethrow_exception(failed);
    });
    io.run();
    return held;
}
