// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/wait_queue.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

namespace velostream {

void WaitQueue::append(const std::shared_ptr<Waiter>& waiter) {
    std::list<std::shared_ptr<Waiter>> place{waiter};               // first, since it may throw
    if (!waiter->membership.join(waiter->executor, waiter)) return; // its context is ending: the handler goes with it
    waiter->place = place.begin();
    waiter->state->waiters.splice(waiter->state->waiters.end(), place);
    waiter->queued = true;
}

std::shared_ptr<WaitQueue::Waiter> WaitQueue::take(Waiter& waiter) {
    auto taken = std::move(*waiter.place);
    waiter.state->waiters.erase(waiter.place);
    waiter.queued = false;
    return taken;
}

// Posting runs no user code. It happens under the lock so that a context which ends finds a waiter either here, or
// posted and without any other tie to it.
void WaitQueue::complete(Waiter& waiter, boost::system::error_code code) noexcept {
    post(waiter, code);
}

void WaitQueue::post(Waiter& waiter, boost::system::error_code code) {
    const auto executor = std::exchange(waiter.executor, {});
    asio::post(executor, [handler = std::move(waiter.handler), code]() mutable { std::move(handler)(code); });
}

void WaitQueue::cancel(Waiter& waiter) {
    std::unique_lock lock{waiter.state->mutex};
    if (!waiter.queued) return; // its turn came first
    const auto taken = take(waiter);
    complete(waiter, asio::error::operation_aborted);
    lock.unlock();
    waiter.membership.leave();
}

bool WaitQueue::leave_queue(Waiter& waiter) noexcept {
    const std::lock_guard lock{waiter.state->mutex};
    if (!waiter.queued) return false;
    take(waiter);
    return true;
}

void WaitQueue::forget(Waiter& waiter) noexcept {
    waiter.drop(); // while the context knows of it, and so does not end
    waiter.membership.leave();
}

bool WaitQueue::Waiter::detach() noexcept {
    std::shared_ptr<Waiter> taken; // released after the lock
    const std::lock_guard lock{state->mutex};
    if (queued) taken = take(*this);
    return taken != nullptr;
}

void WaitQueue::Waiter::drop() noexcept {
    handler = nullptr;
    executor = {};
}

bool WaitQueue::wake_one() {
    std::unique_lock lock{state_->mutex};
    if (state_->waiters.empty()) return false;
    const auto waiter = take(*state_->waiters.front());
    complete(*waiter, {});
    lock.unlock();
    waiter->membership.leave();
    return true;
}

std::size_t WaitQueue::wake_all(boost::system::error_code code) {
    std::list<std::shared_ptr<Waiter>> woken;
    {
        const std::lock_guard lock{state_->mutex};
        woken.swap(state_->waiters);
        for (const auto& waiter : woken) {
            waiter->queued = false;
            complete(*waiter, code);
        }
    }
    for (const auto& waiter : woken) waiter->membership.leave();
    return woken.size();
}

std::optional<asio::any_io_executor> WaitQueue::first_executor() const {
    const std::lock_guard lock{state_->mutex};
    if (state_->waiters.empty()) return std::nullopt;
    return asio::prefer(state_->waiters.front()->executor, asio::execution::outstanding_work.untracked);
}

std::size_t WaitQueue::size() const {
    const std::lock_guard lock{state_->mutex};
    return state_->waiters.size();
}

} // namespace velostream
