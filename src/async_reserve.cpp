// SPDX-License-Identifier: Apache-2.0
#include "velostream/async_reserve.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace velostream::detail {

void ReserveOperation::give_up(const std::shared_ptr<ReserveOperation>& operation, Errc why) {
    if (!leave(operation)) return;
    Error error{why};
    if (why == Errc::deadline_exceeded) error = error.with_inner(operation->why_waiting());
    operation->on_end(std::move(error));
}

void ReserveOperation::on_end(Result<MemoryReservation> result) noexcept {
    {
        const std::scoped_lock lock{mutex_};
        alarm_.stop();
    }
    complete(std::move(result));
    membership_.leave();
}

// Posting runs no user code. It happens under the mutex so that a context which ends finds the operation either with
// its handler, or posted and without any other tie to it. noexcept: without memory for it the program ends.
void ReserveOperation::complete(Result<MemoryReservation> result) noexcept {
    const std::scoped_lock lock{mutex_};
    if (!handler_) return; // gone with its context
    const auto executor = std::exchange(executor_, {});
    asio::post(executor, [handler = std::move(handler_), handed = std::move(result)]() mutable {
        std::move(handler)(std::move(handed));
    });
}

bool ReserveOperation::detach() noexcept {
    {
        const std::scoped_lock lock{mutex_};
        if (!handler_) return false;
    }
    leave(std::static_pointer_cast<ReserveOperation>(shared_from_this()));
    return true;
}

void ReserveOperation::drop() noexcept {
    asio::any_io_executor executor;
    asio::any_completion_handler<ReserveSignature> handler; // ends without the mutex, and with it a coroutine
    const std::scoped_lock lock{mutex_};
    alarm_.stop();
    handler.swap(handler_);
    executor.swap(executor_);
}

} // namespace velostream::detail
