// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/append.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "velostream/async/context_membership.hpp"
#include "velostream/async/time_source.hpp"

namespace velostream::testing {

/// A clock that stands still until its sleepers are told to wake, and that knows whether one was cancelled after its
/// end: what would touch a timer that is gone, for with Asio a slot keeps the handler of an operation that is over.
class WatchedTime {
  public:
    TimePoint now() const noexcept { return TimePoint{std::chrono::hours{1}}; }
    TimePoint coarse_now() const noexcept { return now(); }

    void sleep_until(const asio::any_io_executor& executor, TimePoint, SleepHandler handler) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        const auto sleep = std::make_shared<Sleep>(executor, std::move(handler));
        ++state_->begun;
        if (!sleep->membership.join(executor, sleep)) return;
        if (slot.is_connected()) {
            slot.assign([state = state_, weak = std::weak_ptr{sleep}](asio::cancellation_type) {
                const auto asleep = weak.lock();
                if (asleep && asleep->handler)
                    end(*asleep, asio::error::operation_aborted);
                else
                    ++state->late_cancellations;
            });
        }
        state_->sleeps.push_back(sleep);
    }

    /// Ends all sleeps; the handlers are on their way then.
    void wake_all() const {
        for (const auto& sleep : std::exchange(state_->sleeps, {})) end(*sleep, {});
    }
    int begun() const noexcept { return state_->begun; }
    int late_cancellations() const noexcept { return state_->late_cancellations; }

  private:
    struct Sleep final : ContextMember {
        Sleep(asio::any_io_executor on, SleepHandler then) : executor(std::move(on)), handler(std::move(then)) {}

        bool detach() noexcept override { return static_cast<bool>(handler); }
        void drop() noexcept override {
            SleepHandler dropped;
            dropped.swap(handler);
            executor = {};
        }

        ContextMembership membership;
        asio::any_io_executor executor;
        SleepHandler handler; // null when it is over
    };
    struct State {
        std::vector<std::shared_ptr<Sleep>> sleeps;
        int begun = 0;
        int late_cancellations = 0;
    };

    static void end(Sleep& sleep, boost::system::error_code code) {
        if (!sleep.handler) return;
        sleep.membership.leave();
        SleepHandler handler;
        handler.swap(sleep.handler);
        const auto executor = std::exchange(sleep.executor, {});
        asio::post(executor, asio::append(std::move(handler), code));
    }

    std::shared_ptr<State> state_ = std::make_shared<State>();
};
static_assert(TimeSource<WatchedTime>);

} // namespace velostream::testing
