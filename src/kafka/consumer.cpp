// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/consumer.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "consumer_core.hpp"
#include "queue_bytes.hpp"

namespace velostream::kafka {

namespace {

ConsumerConfig within(const MemoryAccount& budget, ConsumerConfig config) {
    config.fetch_queue_bytes = queue_bytes(config.fetch_queue_bytes, budget);
    return config;
}

} // namespace

Consumer::Consumer(asio::any_io_executor executor, const ConsumerConfig& config, const MemoryAccount& budget)
    : core_(std::make_shared<detail::ConsumerCore>(std::move(executor), within(budget, validated(config)))) {
    try {
        core_->open();
    } catch (...) {
        core_->retire(); // its context may know of it already
        throw;
    }
}

Consumer::~Consumer() {
    if (core_) core_->retire();
}

Consumer& Consumer::operator=(Consumer&& other) noexcept {
    Consumer taken{std::move(other)};
    core_.swap(taken.core_);
    return *this;
}

asio::awaitable<Result<RecordBatch>> Consumer::next_batch(std::size_t most) {
    const auto core = core_;
    constexpr auto token = asio::as_tuple(asio::use_awaitable);
    for (;;) {
        if (core->is_stopped()) co_return Error{Errc::consumer_closed};
        if (auto failure = core->take_failure()) co_return *failure;
        RecordBatch batch;
        while (batch.size() < most && core->front()) batch.push_back(core->take_front());
        if (!batch.empty() || most == 0) {
            if (core->batch_waiters().size() > 0) core->serve_later();
            co_return batch;
        }
        if (auto failure = core->take_failure()) co_return *failure; // among what was read
        const auto [code] = co_await core->batch_waiters().async_wait(token);
        if (code) co_return Error{Errc::cancelled};
    }
}

void Consumer::done(const ConsumedRecord& record) {
    core_->done(record);
}

void Consumer::stop() {
    core_->stop();
}
void Consumer::pause() {
    core_->pause();
}
void Consumer::resume() {
    core_->resume();
}
bool Consumer::is_paused() const noexcept {
    return core_->is_paused();
}

std::vector<PartitionPosition> Consumer::assignment() const {
    return core_->assignment();
}
bool Consumer::end_reached() const {
    return core_->end_reached();
}

asio::awaitable<void> detail::close_consumer(std::shared_ptr<ConsumerCore> core, Duration at_most) {
    struct Closing {
        explicit Closing(detail::ConsumerCore& of) : core(of), departure(core.begin_close()) {}
        Closing(const Closing&) = delete;
        Closing& operator=(const Closing&) = delete;
        ~Closing() { core.end_close(); }
        detail::ConsumerCore& core;
        const std::shared_ptr<detail::ConsumerCore::Departure> departure;
    };
    const SteadyTime time;
    const auto until = saturating_add(time.now(), at_most);
    const Closing closing{*core};
    auto* const departure = closing.departure.get();
    const auto is_over = [departure]() noexcept { return departure->is_over.load(); };
    while (!is_over() && time.now() < until) { // another close may have waked this one
        core->wake_departure_at(until);
        co_await departure->waiters.async_wait_unless(is_over, asio::use_awaitable);
    }
}

asio::awaitable<void> Consumer::close(Duration at_most) {
    return detail::close_consumer(core_, at_most);
}

ConsumerStats Consumer::get_stats() const {
    return core_->stats();
}
asio::any_io_executor Consumer::get_executor() const {
    return core_->executor();
}

} // namespace velostream::kafka
