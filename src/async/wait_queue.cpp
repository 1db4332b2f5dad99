// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/wait_queue.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

namespace velostream {

std::shared_ptr<WaitQueue::Waiter> WaitQueue::pop(State& state) {
    const std::lock_guard lock{state.mutex};
    if (state.waiters.empty()) return nullptr;
    auto waiter = std::move(state.waiters.front());
    state.waiters.pop_front();
    waiter->queued = false;
    return waiter;
}

void WaitQueue::cancel(State& state, const std::shared_ptr<Waiter>& waiter) {
    {
        const std::lock_guard lock{state.mutex};
        if (!waiter->queued) return; // its turn came first
        waiter->queued = false;
        state.waiters.erase(waiter->place);
    }
    complete(waiter, asio::error::operation_aborted);
}

void WaitQueue::complete(const std::shared_ptr<Waiter>& waiter, boost::system::error_code code) {
    const auto executor = waiter->executor;
    asio::post(executor, [handler = std::move(waiter->handler), code]() mutable { std::move(handler)(code); });
}

bool WaitQueue::wake_one() {
    const auto waiter = pop(*state_);
    if (waiter) complete(waiter, {});
    return waiter != nullptr;
}

std::size_t WaitQueue::wake_all(boost::system::error_code code) {
    std::list<std::shared_ptr<Waiter>> woken;
    {
        const std::lock_guard lock{state_->mutex};
        woken.swap(state_->waiters);
        for (const auto& waiter : woken) waiter->queued = false;
    }
    for (const auto& waiter : woken) complete(waiter, code);
    return woken.size();
}

std::size_t WaitQueue::size() const {
    const std::lock_guard lock{state_->mutex};
    return state_->waiters.size();
}

} // namespace velostream
