// SPDX-License-Identifier: Apache-2.0
// A process that may hold 8 MiB: a refusal, a wait for room, a query with a limit of its own, groups that charge what
// they take, and a cache that gives way under pressure. Prints what happens.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <iostream>
#include <memory>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <utility>
#include <velostream/core/accounted_memory.hpp>
#include <velostream/velostream.hpp>

namespace {

using namespace std::chrono_literals;
using namespace velostream::literals;
using velostream::Bytes;
using velostream::ResourceManager;
namespace asio = boost::asio;

void try_twice(ResourceManager<>& resources) {
    auto windows = resources.allocate_memory("windows", 5_MiB);
    auto too_much = resources.allocate_memory("windows", 4_MiB);
    std::cout << "the second: " << too_much.error().message() << '\n';

    const auto usage = resources.get_memory_usage();
    std::cout << usage.bytes_used << " bytes used, " << usage.percentage << " %\n";
} // the first goes back here

asio::awaitable<void> wait_for_room(ResourceManager<>& resources) {
    const auto deadline = std::chrono::steady_clock::now() + 1s;
    auto batch = co_await resources.async_allocate_memory("batches", 6_MiB, deadline, asio::use_awaitable);
    if (batch)
        std::cout << "the batch has its " << batch->bytes() << " bytes\n";
    else
        std::cout << "no batch: " << batch.error() << '\n'; // who held what is inside
}

void count_words(ResourceManager<>& resources) {
    auto query = resources.open_query({.name = "words", .max_memory_mb = 1});
    if (!query) return; // max_concurrent_queries are open

    velostream::AccountedResource memory{query->state()};
    std::pmr::unordered_map<std::pmr::string, int> groups{&memory};
    try {
        for (int word = 0;; ++word) ++groups[std::to_string(word).c_str()];
    } catch (const velostream::MemoryRefusedException& refused) {
        std::cout << groups.size() << " groups fit: " << refused.what() << '\n';
    }
}

class Cache : public velostream::Reclaimer {
  public:
    explicit Cache(velostream::MemoryReservation held) : held_(std::move(held)) {}

    velostream::ReclaimKind kind() const noexcept override { return velostream::ReclaimKind::expired; }
    Bytes estimate() const noexcept override { return held_.bytes(); }
    asio::awaitable<void> reclaim(Bytes wanted) override {
        std::cout << "the cache gives back " << wanted << " bytes\n";
        held_.shrink(wanted);
        co_return;
    }

  private:
    velostream::MemoryReservation held_;
};

} // namespace

int main() {
    asio::io_context io;
    ResourceManager resources{io.get_executor(), {.max_memory_mb = 8}};

    try_twice(resources);
    count_words(resources);

    auto held = resources.allocate_memory("windows", 5_MiB);
    asio::co_spawn(io, wait_for_room(resources), asio::detached);
    io.poll();
    std::cout << "a window ends\n";
    held->release();
    io.run();

    const auto caches = resources.account("caches");
    auto cache = std::make_shared<Cache>(*caches.try_reserve(4_MiB));
    auto registration = resources.add_reclaimer(io.get_executor(), caches, cache);
    auto more = resources.allocate_memory("windows", 3_MiB); // 7 of 8 MiB: pressure is high
    io.restart();
    io.run();
    std::cout << resources.get_memory_usage().percentage << " % used now\n";
}
