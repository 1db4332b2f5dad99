// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/exactly_once.hpp"

#include <stdexcept>

#include "exactly_once_core.hpp"

namespace velostream::kafka {

ExactlyOnceProcessor::ExactlyOnceProcessor(asio::any_io_executor executor, const ExactlyOnceConfig& config,
                                           MemoryAccount account)
    : core_(std::make_shared<detail::ExactlyOnceCore>(std::move(executor), validated(config), std::move(account))) {
    try {
        core_->open();
    } catch (...) {
        core_->retire(); // its context may know of it already
        throw;
    }
}

ExactlyOnceProcessor::~ExactlyOnceProcessor() {
    if (core_) core_->retire();
}

ExactlyOnceProcessor& ExactlyOnceProcessor::operator=(ExactlyOnceProcessor&& other) noexcept {
    ExactlyOnceProcessor taken{std::move(other)};
    core_.swap(taken.core_);
    return *this;
}

void ExactlyOnceProcessor::stop() {
    core_->stop();
}
void ExactlyOnceProcessor::pause() {
    core_->consumer().pause();
}
void ExactlyOnceProcessor::resume() {
    core_->consumer().resume();
}
bool ExactlyOnceProcessor::is_paused() const noexcept {
    return core_->consumer().is_paused();
}

std::vector<PartitionPosition> ExactlyOnceProcessor::assignment() const {
    return core_->assignment();
}
bool ExactlyOnceProcessor::end_reached() const {
    return !core_->has_uncommitted() && core_->consumer().end_reached();
}

asio::awaitable<void> ExactlyOnceProcessor::close(Duration at_most) {
    return core_->close(at_most);
}

ExactlyOnceStats ExactlyOnceProcessor::get_stats() const {
    return core_->stats();
}
asio::any_io_executor ExactlyOnceProcessor::get_executor() const {
    return core_->executor();
}

namespace detail {

ExactlyOnceLoop::ExactlyOnceLoop(std::shared_ptr<ExactlyOnceCore> core, ForEachOptions options)
    : options_(std::move(options)) {
    if (options_.max_in_flight == 0) throw std::invalid_argument{"max_in_flight = 0: must be ≥ 1"};
    if (!core->enter_loop()) throw std::invalid_argument{"for_each: this processor is in a loop already"};
    core_ = std::move(core);
}

ExactlyOnceLoop::~ExactlyOnceLoop() {
    if (core_) core_->leave_loop();
}

asio::awaitable<Result<void>> ExactlyOnceLoop::prepare() {
    return core_->prepare();
}
std::shared_ptr<RecordLoop> ExactlyOnceLoop::open_records() {
    return core_->open_records(options_);
}
asio::awaitable<std::optional<Result<void>>> ExactlyOnceLoop::conclude(Result<void> ended) {
    return core_->conclude(std::move(ended));
}

} // namespace detail

} // namespace velostream::kafka
