// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/producer.hpp"

#include "producer_core.hpp"

namespace velostream::kafka {

Bytes detail::Outgoing::size_bytes() const noexcept {
    if (record_) return record_->size_bytes();
    Bytes bytes = Record::overhead + view_->key.value_or("").size() + view_->value.value_or("").size();
    for (const auto header : view_->headers)
        bytes += Record::header_overhead + header.name.size() + header.value.value_or("").size();
    return bytes;
}

Producer::Producer(asio::any_io_executor executor, const ProducerConfig& config, MemoryAccount account)
    : core_(std::make_shared<detail::ProducerCore>(std::move(executor), validated(config), std::move(account))) {
    core_->join_context();
}

Producer::~Producer() {
    if (core_) core_->retire();
}

Producer& Producer::operator=(Producer&& other) noexcept {
    Producer taken{std::move(other)};
    core_.swap(taken.core_);
    return *this;
}

bool Producer::IsIdle::operator()() const noexcept {
    return core->is_idle();
}

WaitQueue& Producer::begin_flush(detail::ProducerCore& core) {
    if (!core.is_idle()) core.listen();
    return core.idle();
}

void Producer::stop_flush(const std::shared_ptr<detail::ProducerCore>& core) {
    if (core) core->after_progress();
}

asio::awaitable<void> Producer::close(Duration grace) {
    const auto core = core_;
    core->begin_close(grace);
    const auto is_closed = [closing = core.get()]() noexcept { return closing->is_closed(); };
    co_await core->closed().async_wait_unless(is_closed, asio::use_awaitable);
}

ProducerStats Producer::get_stats() const {
    return core_->stats();
}

asio::any_io_executor Producer::get_executor() const {
    return core_->executor();
}

} // namespace velostream::kafka
