// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/consumer_pool.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <list>
#include <optional>
#include <utility>

#include "pool_connection.hpp"
#include "queue_bytes.hpp"
#include "together.hpp"
#include "velostream/config/validate.hpp"

namespace velostream::kafka {

namespace {

constexpr Bytes least_fetch_queue = 1024;

// The loops of all members.
struct Loops : Together {
    using Together::Together;

    std::optional<Error> first_error;
    std::list<asio::cancellation_signal> signals;
};

} // namespace

ConsumerPool::ConsumerPool(asio::any_io_executor executor, const KafkaPoolConfig& pool, const ConsumerConfig& config,
                           const MemoryAccount& budget)
    : pool_(pool), config_(config) {
    auto problems = validate(pool);
    const auto of_members = validate(config);
    problems.insert(problems.end(), of_members.begin(), of_members.end());
    throw_if_any(problems);
    auto share = config;
    share.fetch_queue_bytes =
        std::max<Bytes>(share_of(queue_bytes(config.fetch_queue_bytes, budget)), least_fetch_queue);
    add_backoff(share.properties, pool.connection_backoff);
    members_.reserve(pool.consumer_pool_size);
    for (std::size_t made = 0; made < pool.consumer_pool_size; ++made) members_.emplace_back(executor, share);
}

asio::awaitable<Result<void>> ConsumerPool::connect(Duration timeout) const {
    return reach_cluster({.bootstrap_servers = config_.bootstrap_servers,
                          .client_id = config_.client_id,
                          .properties = config_.properties},
                         pool_, timeout);
}

std::size_t ConsumerPool::share_of(std::size_t limit) const {
    const auto size = pool_.consumer_pool_size;
    return limit / size + (limit % size == 0 ? 0 : 1);
}

// The loops end by being stopped, so that handlers in progress end well; a caller that cancels passes that on.
asio::awaitable<Result<void>> ConsumerPool::run_all(std::vector<asio::awaitable<Result<void>>> loops) {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto executor = co_await asio::this_coro::executor;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const auto together = std::make_shared<Loops>(loops.size());
    std::size_t begun = 0;
    try {
        for (auto& loop : loops) {
            auto& signal = together->signals.emplace_back();
            auto ended = [together, this](const std::exception_ptr& thrown, const Result<void>& result) {
                if (!together->first_error && (thrown || !result)) {
                    together->first_error = thrown ? Error::from_exception(thrown) : result.error();
                    stop();
                }
                together->end();
            };
            asio::co_spawn(executor, std::move(loop), asio::bind_cancellation_slot(signal.slot(), std::move(ended)));
            ++begun;
        }
    } catch (...) { // no memory for one; those that have begun are waited for
        together->first_error = Error::from_exception(std::current_exception());
        together->left -= loops.size() - begun;
        stop();
    }
    for (bool has_no_memory = false; together->left != 0;) {
        if (cancellation.cancelled() != asio::cancellation_type::none)
            for (auto& signal : together->signals) signal.emit(cancellation.cancelled());
        try {
            auto waiting = together->async_wait(asio::as_tuple(asio::use_awaitable));
            co_await std::move(waiting);
        } catch (...) { // they end by themselves then, and that takes some back
            stop();
            if (std::exchange(has_no_memory, true)) throw;
            if (!together->first_error) together->first_error = Error::from_exception(std::current_exception());
        }
    }
    if (together->first_error) co_return *together->first_error;
    co_return Result<void>{};
}

void ConsumerPool::stop() {
    for (auto& member : members_) member.stop();
}
void ConsumerPool::pause() {
    for (auto& member : members_) member.pause();
}
void ConsumerPool::resume() {
    for (auto& member : members_) member.resume();
}

std::vector<PartitionPosition> ConsumerPool::assignment() const {
    std::vector<PartitionPosition> all;
    for (const auto& member : members_) {
        auto some = member.assignment();
        all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
    }
    return all;
}

bool ConsumerPool::end_reached() const {
    return std::ranges::any_of(members_, &Consumer::end_reached) &&
           std::ranges::all_of(
               members_, [](const Consumer& member) { return member.end_reached() || member.assignment().empty(); });
}

asio::awaitable<void> ConsumerPool::close(Duration at_most) {
    return close_all(get_executor(), members_, [at_most](Consumer& member) { return member.close(at_most); });
}

ConsumerStats ConsumerPool::get_stats() const {
    ConsumerStats sum;
    for (const auto& member : members_) {
        const auto stats = member.get_stats();
        sum.records += stats.records;
        sum.done += stats.done;
        sum.done_too_late += stats.done_too_late;
        sum.rebalances += stats.rebalances;
        sum.failed_commits += stats.failed_commits;
        sum.held += stats.held;
        sum.queued += stats.queued;
        sum.queued_bytes += stats.queued_bytes;
        sum.queue_limit += stats.queue_limit;
        if (sum.last_problem.empty()) sum.last_problem = stats.last_problem;
    }
    return sum;
}

} // namespace velostream::kafka
